/** What an injected sidecar is told. */
export interface InjectionSettings {
  readonly image: string;
  /** Undefined: what Kubernetes makes of the image's tag. */
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never' | undefined;
  /** A name that resolves to all replicas, and their port: `host:port`. */
  readonly controlPlane: string;
  readonly tls: {
    /** A secret of the pod's namespace with `tls.crt`, `tls.key` and `ca.crt`. */
    readonly secret: string;
    /** The name in the replicas' certificates; undefined: the host of `controlPlane`. */
    readonly serverName: string | undefined;
    /** Or their SPIFFE id. */
    readonly serverId: string | undefined;
  };
  /** Of a pod that names none. */
  readonly virtualServer: string;
  readonly token: {
    /** For whom the pod's service account token is meant: an audience of the mesh's own. */
    readonly audience: string;
    readonly expirationSeconds: number;
  };
  readonly resources: {
    readonly requests: Readonly<Record<string, string>>;
    readonly limits: Readonly<Record<string, string>>;
  };
  /** The user and group of the sidecar's process; not root. */
  readonly user: number;
  /** Where it sends traces, and how many; undefined: nowhere. */
  readonly tracing?: { readonly url: string; readonly ratio: number } | undefined;
}

export const INJECT = 'outrigger.dev/inject';
export const VIRTUAL_SERVER = 'outrigger.dev/virtual-server';
export const STATUS = 'outrigger.dev/status';
