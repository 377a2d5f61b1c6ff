import type { JsonMap } from './json.ts';
import type { InjectionSettings } from './settings.ts';

export const CONTAINER = 'outrigger-sidecar';
export const TOKEN_VOLUME = 'outrigger-token';
export const TLS_VOLUME = 'outrigger-tls';

/** MCP and health. In a pod every container has the same ports. */
export const PORTS = [4280, 4281] as const;

/** For the agent's containers: where MCP is. The second name is for programs that know nothing of Outrigger. */
export const APP_ENVIRONMENT: Readonly<Record<string, string>> = {
  OUTRIGGER_URL: 'http://127.0.0.1:4280/mcp',
  MCP_URL: 'http://127.0.0.1:4280/mcp',
};

const HEALTH_PORT = PORTS[1];
const TOKEN_FOLDER = '/var/run/secrets/outrigger/token';
const TLS_FOLDER = '/var/run/secrets/outrigger/tls';

/**
 * The sidecar as a native one: an init container that goes on. It has started before
 * the agent does, and ends after it (Kubernetes 1.29). It is ready when it listens,
 * whether or not a replica can be reached: a control plane that is away must not take
 * the agents out of service. `/readyz`, which says whether one can, is for people.
 */
export function sidecarContainer(settings: InjectionSettings, virtualServer: string): JsonMap {
  const { image, imagePullPolicy, resources, user } = settings;
  return {
    name: CONTAINER,
    image,
    ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
    restartPolicy: 'Always',
    args: ['--node', '$(OUTRIGGER_POD_NAMESPACE).$(OUTRIGGER_POD_NAME)'],
    env: [
      fromField('OUTRIGGER_POD_NAME', 'metadata.name'),
      fromField('OUTRIGGER_POD_NAMESPACE', 'metadata.namespace'),
      { name: 'OUTRIGGER_SIDECAR_CONFIG', value: JSON.stringify(configuration(settings, virtualServer)) },
    ],
    ports: [{ name: 'outrigger-ops', containerPort: HEALTH_PORT, protocol: 'TCP' }],
    startupProbe: probe('/startupz', { periodSeconds: 1, failureThreshold: 60 }),
    readinessProbe: probe('/startupz', { periodSeconds: 10, failureThreshold: 3 }),
    livenessProbe: probe('/livez', { periodSeconds: 10, failureThreshold: 3 }),
    resources: { requests: resources.requests, limits: resources.limits },
    securityContext: {
      runAsNonRoot: true,
      runAsUser: user,
      runAsGroup: user,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      privileged: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: [
      { name: TOKEN_VOLUME, mountPath: TOKEN_FOLDER, readOnly: true },
      { name: TLS_VOLUME, mountPath: TLS_FOLDER, readOnly: true },
    ],
  };
}

/** The token of the pod's service account, made for the mesh and for nobody else, and the sidecar's certificate. */
export function sidecarVolumes({ token, tls }: InjectionSettings): readonly JsonMap[] {
  const { audience, expirationSeconds } = token;
  return [
    {
      name: TOKEN_VOLUME,
      projected: { sources: [{ serviceAccountToken: { audience, expirationSeconds, path: 'token' } }] },
    },
    { name: TLS_VOLUME, secret: { secretName: tls.secret } },
  ];
}

/** The sidecar's configuration file. The pod is one trust boundary: its containers share the loopback. */
function configuration({ controlPlane, tls, tracing }: InjectionSettings, virtualServer: string): JsonMap {
  const { serverName, serverId } = tls;
  return {
    virtualServer,
    listen: { ops: `0.0.0.0:${HEALTH_PORT}` },
    controlPlane: {
      dns: controlPlane,
      tls: {
        ca: `${TLS_FOLDER}/ca.crt`,
        cert: `${TLS_FOLDER}/tls.crt`,
        key: `${TLS_FOLDER}/tls.key`,
        ...(serverName === undefined ? {} : { serverName }),
        ...(serverId === undefined ? {} : { serverId }),
      },
    },
    token: { file: `${TOKEN_FOLDER}/token` },
    allowSharedLoopback: true,
    ...(tracing === undefined ? {} : { tracing: { otlp: { url: tracing.url }, ratio: tracing.ratio } }),
  };
}

function fromField(name: string, fieldPath: string): JsonMap {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

function probe(path: string, times: JsonMap): JsonMap {
  return { httpGet: { path, port: HEALTH_PORT }, timeoutSeconds: 2, ...times };
}
