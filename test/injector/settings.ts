import type { InjectionSettings } from '../../control-plane/injector/settings.ts';

/** What the injected sidecars of the tests are told. */
export const SETTINGS: InjectionSettings = {
  image: 'registry.example/outrigger-sidecar:0.1.0',
  imagePullPolicy: undefined,
  controlPlane: 'outrigger.outrigger.svc:4290',
  tls: {
    secret: 'outrigger-sidecar-tls',
    serverName: undefined,
    serverId: 'spiffe://mesh.example/ns/outrigger/sa/control-plane',
  },
  virtualServer: 'default',
  token: { audience: 'outrigger', expirationSeconds: 3600 },
  resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '160Mi' } },
  user: 65532,
};
