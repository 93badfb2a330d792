import { start } from '@callbox/testing';
import { test as base, expect } from '@playwright/test';

// One server for each worker process.
const test = base.extend({
  server: [async ({}, use) => {
    const server = await start({ forceRelay: true });
    await use(server);
    await server.stop();
  }, { scope: 'worker' }],
});

test('a page connects to itself through the relay', async ({ page, server }) => {
  await page.goto(`${server.url}/healthz`);
  const config = await server.iceConfig('alice');
  const text = await page.evaluate(async (ice) => {
    const [one, two] = [new RTCPeerConnection(ice), new RTCPeerConnection(ice)];
    for (const [from, to] of [[one, two], [two, one]]) from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate);
    const channel = one.createDataChannel('hello');
    const received = new Promise((resolve) => {
      two.ondatachannel = (event) => { event.channel.onmessage = ({ data }) => resolve(data); };
    });
    channel.onopen = () => channel.send('by the relay');
    await one.setLocalDescription();
    await two.setRemoteDescription(one.localDescription);
    await two.setLocalDescription();
    await one.setRemoteDescription(two.localDescription);
    return received;
  }, config);
  expect(text).toBe('by the relay');
});
