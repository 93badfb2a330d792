// The call flow's own snippets for RTCPeerConnection, media and `ice:candidate`, to the letter, in a
// page of another origin with an unmodified socket.io-client.
//
// The snippets name stun.caas.io and turn.caas.io, port 3478. The browser is told that these are
// 127.0.0.1, and the server listens on that port: this test runs in a network of its own.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { launch, longestPause, newPage, noComplaints, startServer, stats, until, videoAdvances, wire } from './browser.js';

const require = createRequire(import.meta.url);
const read = (...parts) => readFileSync(path.join(import.meta.dirname, ...parts), 'utf8');

/** The snippets without their two type annotations, which browsers do not read. */
const snippets = read('seed', 'snippets.ts')
  .replace('(): Promise<RTCPeerConnection> {', '() {')
  .replace("(type: 'audio' | 'video') {", '(type) {');
const files = {
  '/': ['text/html', read('seed', 'index.html')],
  '/page.js': ['text/javascript', read('seed', 'page.js').replace('/* SNIPPETS */', () => snippets)],
  '/socket.io.js': ['text/javascript', readFileSync(require.resolve('socket.io-client/dist/socket.io.js'), 'utf8')],
};

const state = mkdtempSync(path.join(os.tmpdir(), 'callbox-seed-'));
const start = (http) => startServer({
  http,
  name: 'seed',
  directory: import.meta.dirname,
  args: ['--listen', '127.0.0.1:3478', '--state-dir', state, '--jwt-secret', 'a secret that is the same each time'],
});

let server;
let browser;
let site;
before(async () => {
  server = await start();
  // WebRTC looks names up with a dot at their end.
  browser = await launch('--host-resolver-rules=MAP stun.caas.io. 127.0.0.1, MAP turn.caas.io. 127.0.0.1');
  site = createServer((request, response) => {
    const [type, body] = files[new URL(request.url, 'http://site').pathname] ?? [];
    if (!type) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body);
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  await browser?.close();
  site?.close();
  await server?.stop();
  rmSync(state, { recursive: true });
});

async function open(name, { call, relayOnly, device, url = server.socketIo }) {
  const page = await newPage(browser);
  page.user = name;
  if (relayOnly) {
    // The snippet leaves the policy alone, so the browser is made to have no other way.
    await page.addInitScript(() => {
      window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(configuration) {
          super({ ...configuration, iceTransportPolicy: 'relay' });
        }
      };
    });
  }
  const query = new URLSearchParams({ url, token: await server.token(name), ...(call && { call }), ...(device && { device }) });
  await page.goto(`http://127.0.0.1:${site.address().port}/?${query}`);
  await page.waitForSelector('body[data-connected]');
  return page;
}

describe('the snippets of the call flow', () => {
  for (const relayOnly of [false, true]) {
    it(relayOnly ? 'through the relay, with their turnCredentials' : 'directly', async () => {
      const bob = await open('bob', { relayOnly });
      const alice = await open('alice', { call: 'bob', relayOnly });
      for (const page of [alice, bob]) {
        await until(`${page.user} has a peer connection`, () => page.evaluate(() => window.pc?.connectionState === 'connected'), 20_000);
        await videoAdvances(page);
        const { local } = await stats(page);
        if (relayOnly) assert.equal(local, 'relay');
        else assert.notEqual(local, 'relay');
        assert.ok(await page.evaluate(() => remoteVideo.videoWidth > 0), 'the picture is in remoteVideo');
      }
      const id = await alice.evaluate(() => window.currentCall());
      // Neither page says `call:connected`: the relayed answer was enough.
      assert.equal((await server.call(id)).state, 'connected');

      await alice.evaluate(() => window.hangUp());
      await bob.waitForSelector('body[data-ended="hangup"]');
      await until('no allocation is left', async () => (await server.metric('callbox_allocations')) === 0);

      // The diagram's events, in the diagram's order. The candidates are as many as the browser
      // finds; they may come as soon as the call is accepted.
      const order = (page) => page.evaluate(() => window.heard.filter((event) => /^(call:(incoming|accepted|ended)|signal:)/.test(event)));
      assert.deepEqual(await order(bob), ['call:incoming', 'signal:offer', 'call:ended']);
      assert.deepEqual(await order(alice), ['call:accepted', 'signal:answer']);
      for (const page of [alice, bob]) {
        assert.ok(await page.evaluate(() => window.heard.includes('ice:candidate')), `${page.user} got candidates`);
      }
      noComplaints(alice, bob);
      await alice.context().close();
      await bob.context().close();
    });
  }

  it('go on when the connection to the server is cut', async () => {
    const way = await wire(new URL(server.http));
    const bob = await open('bob', { relayOnly: true, device: 'phone' });
    const alice = await open('alice', { call: 'bob', relayOnly: true, device: 'laptop', url: way.http });
    for (const page of [alice, bob]) {
      await until(`${page.user} has a peer connection`, () => page.evaluate(() => window.pc?.connectionState === 'connected'), 20_000);
      await videoAdvances(page);
    }
    const id = await alice.evaluate(() => window.currentCall());
    const pauses = await Promise.all([alice, bob].map((page) => longestPause(page, async () => {
      if (page === alice) way.cut();
      await alice.waitForSelector('body[data-connected="no"]');
      // This long it is cut: time itself is what is tested.
      await pause(5_000);
      if (page === alice) way.mend();
      await alice.waitForSelector('body[data-connected="yes"]', { timeout: 20_000 });
    })));
    for (const longest of pauses) assert.ok(longest < 1_000, `no frame for ${longest} ms`);
    await until('it is told where the call stands', () => alice.evaluate(() => window.heard.includes('call:sync')));
    assert.equal((await server.call(id)).state, 'connected');

    const ufrag = () => bob.evaluate(() => window.pc.remoteDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]);
    const before = await ufrag();
    await alice.evaluate(() => window.restart());
    await until('both have another path', async () => (await ufrag()) !== before
      && (await alice.evaluate(() => window.pc.signalingState === 'stable' && window.pc.connectionState === 'connected')));
    for (const page of [alice, bob]) await videoAdvances(page);

    await alice.evaluate(() => window.hangUp());
    await bob.waitForSelector('body[data-ended="hangup"]');
    for (const page of [alice, bob]) await page.context().close();
    way.close();
  });

  it('go on when the server is restarted', async () => {
    const bob = await open('bob', { device: 'phone' });
    const alice = await open('alice', { call: 'bob', device: 'laptop' });
    for (const page of [alice, bob]) {
      await until(`${page.user} has a peer connection`, () => page.evaluate(() => window.pc?.connectionState === 'connected'), 20_000);
      await videoAdvances(page);
      assert.notEqual((await stats(page)).local, 'relay');
    }
    const id = await alice.evaluate(() => window.currentCall());
    let took;
    const restarted = (async () => {
      const stopped = Date.now();
      assert.equal(await server.stop(), 0);
      server = await start(new URL(server.http).host);
      await until('both are back', async () => {
        const { state: now, participants } = await server.call(id);
        return now === 'connected' && participants.every(({ connected }) => connected);
      });
      took = Date.now() - stopped;
    })();
    const pauses = await Promise.all([alice, bob].map((page) => longestPause(page, () => restarted)));
    assert.ok(took < 5_000, `it took ${took} ms`);
    for (const longest of pauses) assert.ok(longest < 1_000, `no frame for ${longest} ms`);
    for (const page of [alice, bob]) {
      assert.ok(await page.evaluate(() => !document.body.dataset.ended && window.heard.includes('call:sync')));
    }
    await alice.evaluate(() => window.hangUp());
    await bob.waitForSelector('body[data-ended="hangup"]');
    for (const page of [alice, bob]) await page.context().close();
  });
});
