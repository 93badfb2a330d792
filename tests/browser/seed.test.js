// Runs the call flow's own snippets for RTCPeerConnection, media and `ice:candidate`, unmodified,
// in a page of another origin with an unmodified socket.io-client.
//
// The snippets name stun.caas.io and turn.caas.io, port 3478. The browser resolves these to
// 127.0.0.1, and the server listens on that port, so this test needs its own network namespace.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { launch, closePage, assertNoErrors, PATIENCE_MS, startServer, until } from './browser.js';
import { startFiles } from './app/site.js';
import { PAIRS } from './matrix/table.js';
import { longestPause, stats, videoAdvances } from './media.js';
import { startProxy } from './network.js';

const require = createRequire(import.meta.url);
const read = (...parts) => readFileSync(path.join(import.meta.dirname, ...parts), 'utf8');

/** The snippets without their two type annotations. */
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
let site;
const browsers = {};
before(async () => {
  server = await start();
  for (const kind of ['chromium', 'firefox']) browsers[kind] = await launch(kind, { hosts: ['stun.caas.io', 'turn.caas.io'] });
  site = await startFiles(files);
});
after(async () => {
  for (const browser of Object.values(browsers)) await browser.close();
  site?.close();
  await server?.stop();
  rmSync(state, { recursive: true });
});

/** Forces the relay, since the snippets leave the policy at its default. */
function forceRelay() {
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: 'relay' });
    }
  };
}

async function open(kind, name, { call, relayOnly, device, url = server.socketIo }) {
  const query = { url, token: await server.token(name), ...(call && { call }), ...(device && { device }) };
  const page = await site.open(browsers[kind], query, (page) => relayOnly && page.evaluateOnNewDocument(forceRelay));
  page.user = name;
  await page.waitForSelector('body[data-connected]');
  return page;
}

/** Sets up a call from alice to bob with video in both directions, and returns its id. */
async function call([caller, callee], options = {}) {
  const bob = await open(callee, 'bob', { device: 'phone', ...options, url: undefined });
  const alice = await open(caller, 'alice', { device: 'laptop', ...options, call: 'bob' });
  for (const page of [alice, bob]) {
    await until(`${page.user} has a path`, () => page.evaluate(() => window.pc?.connectionState === 'connected'), PATIENCE_MS);
    await videoAdvances(page);
  }
  return { alice, bob, id: await alice.evaluate(() => window.currentCall()) };
}

const hangUp = async (alice, bob) => {
  await alice.evaluate(() => window.hangUp());
  await bob.waitForSelector('body[data-ended="hangup"]');
  for (const page of [alice, bob]) await closePage(page);
};

for (const pair of PAIRS) {
  describe(`the snippets of the call flow: ${pair.join(' → ')}`, () => {
    for (const relayOnly of [false, true]) {
      it(relayOnly ? 'through the relay, with their turnCredentials' : 'directly', async () => {
        const { alice, bob, id } = await call(pair, { relayOnly });
        for (const page of [alice, bob]) {
          const { local } = await stats(page);
          if (relayOnly) assert.equal(local, 'relay');
          else assert.notEqual(local, 'relay');
          await until('the video is shown in remoteVideo', () => page.evaluate(() => remoteVideo.videoWidth > 0), PATIENCE_MS);
        }
        // Neither page sends `call:connected`: the relayed answer is enough.
        assert.equal((await server.call(id)).state, 'connected');

        await alice.evaluate(() => window.hangUp());
        await bob.waitForSelector('body[data-ended="hangup"]');
        await until('no allocation is left', async () => (await server.metric('callbox_allocations')) === 0);

        // The diagram's events in the diagram's order. The number of candidates varies, and they
        // may arrive from the accept on.
        const order = (page) => page.evaluate(() => window.heard.filter((event) => /^(call:(incoming|accepted|ended)|signal:)/.test(event)));
        assert.deepEqual(await order(bob), ['call:incoming', 'signal:offer', 'call:ended']);
        assert.deepEqual(await order(alice), ['call:accepted', 'signal:answer']);
        for (const page of [alice, bob]) {
          assert.ok(await page.evaluate(() => window.heard.includes('ice:candidate')), `${page.user} got candidates`);
        }
        assertNoErrors(alice, bob);
        for (const page of [alice, bob]) await closePage(page);
      });
    }

    it('continue when the connection to the server is cut, and when the server is restarted', async () => {
      const proxy = await startProxy(new URL(server.http));
      const { alice, bob, id } = await call(pair, { url: proxy.http });
      const pauses = await Promise.all([alice, bob].map((page) => longestPause(page, async () => {
        if (page === alice) proxy.cut();
        await alice.waitForSelector('body[data-connected="no"]');
        if (page === alice) proxy.restore();
        await alice.waitForSelector('body[data-connected="yes"]');
        await until('alice receives the snapshot', () => alice.evaluate(() => window.heard.includes('call:sync')), PATIENCE_MS);
        if (page === alice) {
          assert.equal((await server.call(id)).state, 'connected');
          assert.equal(await server.stop(), 0);
          server = await start(new URL(server.http).host);
        }
        await until('bob receives the snapshot', () => bob.evaluate(() => window.heard.includes('call:sync')), PATIENCE_MS);
        await until('both are back', async () => {
          const { state: now, participants } = await server.call(id);
          return now === 'connected' && participants.every(({ connected }) => connected);
        }, PATIENCE_MS);
      })));
      for (const longest of pauses) assert.ok(longest < 3_000, `no frame for ${longest} ms`);
      assert.equal(await bob.evaluate(() => document.body.dataset.ended), undefined);
      await hangUp(alice, bob);
      proxy.close();
    });
  });
}
