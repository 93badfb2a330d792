// Tests a call with UDP blocked: page, WebSocket, and media through turns: share one TLS port.

import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { click, launch, closePage, assertNoErrors, screenshot, startServer, until } from './browser.js';
import { connect, signIn, summary } from './demo.js';
import { stats, videoAdvances } from './media.js';
import { dropUdp } from './network.js';
import { certificate } from './matrix/server.js';

const files = mkdtempSync(path.join(tmpdir(), 'callbox-tls-'));
const { cert, key } = certificate(files);

let server;
let browser;
let allowUdp;
before(async () => {
  allowUdp = dropUdp();
  server = await startServer({
    name: 'one-port',
    directory: import.meta.dirname,
    args: ['--tls-listen', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key],
  });
  // Only this key is trusted.
  const spki = new X509Certificate(readFileSync(cert)).publicKey.export({ type: 'spki', format: 'der' });
  const hash = createHash('sha256').update(spki).digest('base64');
  browser = await launch('chromium', { args: [`--ignore-certificate-errors-spki-list=${hash}`] });
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
  allowUdp();
  rmSync(files, { recursive: true });
});

/** Opens the demo page over HTTPS with the relay only. */
const signInBy = (name) => signIn(browser, { http: server.https }, name, { relayOnly: true });

describe('with UDP blocked, everything goes over one port', () => {
  it('the page, the WebSocket and the media of a call', async () => {
    const port = new URL(server.https).port;
    const turns = server.turn.find((uri) => uri.startsWith('turns:'));
    assert.equal(turns, `turns:127.0.0.1:${port}?transport=tcp`);
    const alice = await signInBy('alice');
    const bob = await signInBy('bob');
    for (const page of [alice, bob]) {
      assert.equal(await page.evaluate(() => window.isSecureContext), true);
      assert.deepEqual(await page.evaluate(() => window.sockets.map(({ url }) => new URL(url).origin)), [`wss://127.0.0.1:${port}`]);
    }
    const id = await connect(alice, bob);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      const { local, remote, relayProtocol, url } = await stats(page);
      assert.deepEqual([local, remote], ['relay', 'relay']);
      assert.match(relayProtocol, /^(tcp|tls)$/, 'not over UDP');
      assert.ok(url, 'the relay has a URL');
    }
    await screenshot(alice, 'one-port-alice');
    assert.ok((await server.metric('callbox_relay_streams', 'transport="tls"')) >= 2, 'both relay over TLS');
    await click(alice, '#hang-up');
    assert.equal((await summary(bob)).reason, 'hangup');
    const over = await server.call(id);
    assert.ok(over.relay.bytesUp > 20_000, `bytes went up: ${JSON.stringify(over.relay)}`);
    await until('no allocation is left', async () => (await server.metric('callbox_allocations')) === 0);
    assertNoErrors(alice, bob);
  });

  it('a turns: URI alone is enough', async () => {
    const alice = await signInBy('alice');
    const protocol = await alice.evaluate(async (turns) => {
      const answer = await fetch('/dev/token', {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ userId: 'carol' }),
      });
      const { token } = await answer.json();
      const ice = await (await fetch('/api/v1/ice-servers', { headers: { authorization: `Bearer ${token}` } })).json();
      const { username, password } = ice.turnCredentials;
      const config = { iceServers: [{ urls: [turns], username, credential: password }], iceTransportPolicy: 'relay' };
      const [one, two] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
      const protocols = [];
      for (const [from, to] of [[one, two], [two, one]]) {
        from.onicecandidate = ({ candidate }) => {
          if (!candidate) return;
          if (candidate.candidate) protocols.push(`${candidate.relayProtocol} ${candidate.url}`);
          to.addIceCandidate(candidate);
        };
      }
      const channel = one.createDataChannel('hello');
      const received = new Promise((resolve) => {
        two.ondatachannel = (event) => { event.channel.onmessage = ({ data }) => resolve(data); };
      });
      channel.onopen = () => channel.send('over TLS');
      await one.setLocalDescription();
      await two.setRemoteDescription(one.localDescription);
      await two.setLocalDescription();
      await one.setRemoteDescription(two.localDescription);
      const message = await received;
      one.close();
      two.close();
      return { message, protocols: [...new Set(protocols)] };
    }, server.turn.find((uri) => uri.startsWith('turns:')));
    assert.equal(protocol.message, 'over TLS');
    assert.equal(protocol.protocols.length, 1, JSON.stringify(protocol));
    assert.match(protocol.protocols[0], /^tls turns:127\.0\.0\.1:/);
    await closePage(alice);
  });
});
