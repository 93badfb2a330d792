// Type-checked, not run.
import { findBinary, start, type IceConfig, type Server } from '@callbox/testing';

export async function sample(): Promise<IceConfig> {
  await using server: Server = await start({
    binary: findBinary(), forceRelay: true, options: { maxLifetime: '60s', workers: 2, mobility: true, allowPeer: ['10.0.0.0/8'] },
  });
  const token: string = await server.token('alice', { ttl: 60, grants: { relay: false } });
  const { username, password, ttl, uris } = await server.credentials('alice');
  const report = await server.faults({ packets: [{ lossPercent: 5 }], actions: [{ action: 'expireCredentials', for: { userId: 'alice' } }] });
  console.log(report.injected.packetsLost + 1, report.actions?.[0]?.affected);
  // @ts-expect-error No such method of TURN.
  await server.faults({ requests: [{ method: 'channel', answer: 438, count: 1 }] });
  await server.restart();
  await server.faults(null);
  // @ts-expect-error A server is started, not constructed.
  new Server();
  console.log(token, username, password, ttl + 1, uris[0], server.log);
  const config = await server.iceConfig('alice');
  new RTCPeerConnection(config);
  return config;
}
