// Runs the code of docs/negotiation.md in each pair of browsers: an upgrade of a call over
// Socket.IO, ICE restarts by either side and by both at once, and a failed negotiation.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, afterEach, before, it } from 'node:test';
import { closeAllPages, launch, PATIENCE_MS, startServer, until } from './browser.js';
import { SMALL, startFiles } from './app/site.js';
import { PAIRS } from './matrix/table.js';
import { audioAdvances, videoAdvances } from './media.js';

const require = createRequire(import.meta.url);
const read = (...parts) => readFileSync(path.join(import.meta.dirname, ...parts), 'utf8');
const [, code] = /^## The code\n[^]*?```js\n([^]*?)```/m.exec(read('../../docs/negotiation.md'));

let server;
let site;
const browsers = {};
before(async () => {
  server = await startServer({ name: 'negotiation', directory: import.meta.dirname });
  for (const kind of ['chromium', 'firefox']) browsers[kind] = await launch(kind);
  site = await startFiles({
    '/': ['text/html', `<!doctype html>
<meta charset="utf-8">
<title>negotiating by itself</title>
<link rel="icon" href="data:,">
<video id="remoteVideo" autoplay playsinline muted></video>
<script>const SMALL = ${JSON.stringify(SMALL)};</script>
<script src="/socket.io.js"></script>
<script src="/page.js"></script>`],
    '/page.js': ['text/javascript', read('negotiation', 'page.js').replace('/* NEGOTIATE */', () => code)],
    '/socket.io.js': ['text/javascript', readFileSync(require.resolve('socket.io-client/dist/socket.io.js'), 'utf8')],
  });
});
after(async () => {
  for (const browser of Object.values(browsers)) await browser.close();
  site?.close();
  await server?.stop();
});
afterEach(() => closeAllPages(Object.values(browsers), server));

async function open(kind, user, query = {}) {
  const page = await site.open(browsers[kind], { url: server.socketIo, token: await server.token(user), ...query });
  page.user = user;
  await page.waitForSelector('body[data-connected]');
  return page;
}

const ufrag = (page) => page.evaluate(() => window.pc.localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]);

const waitUntilSettled = (page) => until(`${page.user} has a stable connection`, async () => {
  const states = await page.evaluate(() => `${window.pc?.signalingState} ${window.pc?.connectionState}`);
  if (states === 'stable connected') return true;
  throw new Error(`${states} ${page.errors.join('; ')}`);
}, PATIENCE_MS);

/** Restarts ICE at each page of `by`, and waits until all pages have a new path. */
async function restart(pages, by) {
  const before = await Promise.all(pages.map(ufrag));
  await Promise.all(by.map((page) => page.evaluate(() => { window.negotiator.restart(); })));
  for (const [number, page] of pages.entries()) {
    await until(`${page.user} has new ICE credentials`, async () => (await ufrag(page)) !== before[number], PATIENCE_MS);
    await waitUntilSettled(page);
  }
  for (const page of pages) await videoAdvances(page);
}

for (const [caller, callee] of PAIRS) {
  it(`the negotiator of docs/negotiation.md: ${caller} → ${callee}`, async () => {
    // Users of their own, so that the call of one pair does not block that of another.
    const [other, user] = ['bob', 'alice'].map((name) => `${name}-${caller}-${callee}`);
    const bob = await open(callee, other);
    const alice = await open(caller, user, { call: other });
    const pages = [alice, bob];
    await alice.evaluate(() => window.start());
    for (const page of pages) {
      await waitUntilSettled(page);
      await audioAdvances(page);
    }

    await bob.evaluate(() => window.upgrade());
    for (const page of pages) {
      await videoAdvances(page);
      await waitUntilSettled(page);
      assert.equal(await page.evaluate(() => window.pc.getTransceivers().length), 2, 'no section was added');
    }

    await restart(pages, [bob]);
    await restart(pages, [alice]);
    await restart(pages, pages);

    // Simulates a failed connection: Firefox replaces it, other browsers restart ICE.
    for (const page of pages) {
      const opened = await page.evaluate(() => {
        const { pc } = window;
        Object.defineProperty(pc, 'connectionState', { value: 'failed', configurable: true });
        pc.onconnectionstatechange();
        delete pc.connectionState;
        return window.peerConnections.length;
      });
      if (page.kind === 'firefox') {
        for (const each of pages) await until(`${each.user} has replaced its connection`, () => each.evaluate((before) => window.peerConnections.length > before, opened), PATIENCE_MS);
      }
      for (const each of pages) {
        await waitUntilSettled(each);
        await videoAdvances(each);
        assert.equal(await each.evaluate(() => window.peerConnections.filter(({ connectionState }) => connectionState !== 'closed').length), 1);
      }
    }

    // Both sides roll a failed negotiation back, and it is tried once more.
    await bob.evaluate(() => {
      window.refusals = 0;
      window.pc.setRemoteDescription = async () => {
        window.refusals += 1;
        throw new Error('not this');
      };
    });
    const refused = alice.evaluate(() => new Promise((resolve) => {
      window.socket.on('ice:candidate', (data) => data.refused && resolve(data.refused));
    }));
    await alice.evaluate(() => { window.pc.addTransceiver('audio', { direction: 'recvonly' }); });
    assert.equal(await refused, true);
    for (const page of pages) await waitUntilSettled(page);
    assert.equal(await bob.evaluate(() => window.refusals), 1);
    await alice.evaluate(() => window.socket.emitWithAck('call:end', {}));
    await bob.waitForSelector('body[data-ended="hangup"]');
  });
}
