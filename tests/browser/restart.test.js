// The server is stopped and started again in the middle of a direct call: media goes on, and both pages
// come back to the same call.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect, launch, longestPause, screenshot, signIn, startServer, stats, summary, until, videoAdvances } from './browser.js';

const state = mkdtempSync(path.join(os.tmpdir(), 'callbox-restart-'));
const start = (http) => startServer({
  http,
  name: 'restart',
  directory: import.meta.dirname,
  // What is generated does not outlast a process.
  args: ['--state-dir', state, '--jwt-secret', 'a secret that is the same each time', '--auth-secret', 'and another one', '--api-key', 'and a third'],
});

let server;
let browser;
before(async () => {
  server = await start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
  rmSync(state, { recursive: true });
});

describe('a server that is restarted in a call', () => {
  it('has both pages back in it within five seconds', async () => {
    const alice = await signIn(browser, server, 'alice');
    const bob = await signIn(browser, server, 'bob');
    const id = await connect(alice, bob);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      assert.notEqual((await stats(page)).local, 'relay');
    }

    let stopped;
    let back;
    const restarted = (async () => {
      stopped = Date.now();
      assert.equal(await server.stop(), 0);
      server = await start(new URL(server.http).host);
      await until('both are back', async () => {
        const { state: now, participants } = await server.call(id);
        return now === 'connected' && participants.every(({ connected }) => connected);
      });
      back = Date.now();
    })();
    const pauses = await Promise.all([alice, bob].map((page) => longestPause(page, async () => {
      await page.waitForSelector('#connection[data-state="offline"]');
      await restarted;
      await page.waitForSelector('#connection[data-state="online"]');
    })));
    assert.ok(back - stopped < 5_000, `it took ${back - stopped} ms`);
    for (const longest of pauses) assert.ok(longest < 1_000, `no frame for ${longest} ms`);
    await screenshot(alice, 'restart-alice');

    // The call is as good as it was: the path can be made anew, and it has one end for both.
    await alice.evaluate(() => window.peerConnections.at(-1).restartIce());
    for (const page of [alice, bob]) await videoAdvances(page);
    await until('the new path is there', () => alice.evaluate(() => {
      const pc = window.peerConnections.at(-1);
      return pc.signalingState === 'stable' && pc.connectionState === 'connected';
    }));
    assert.equal(await alice.evaluate(() => window.peerConnections.length), 1, 'it is the same connection');
    await bob.click('#hang-up');
    assert.deepEqual(await summary(alice), { reason: 'hangup', title: 'bob ended the call' });
    assert.equal((await server.call(id)).reason, 'hangup');
    for (const page of [alice, bob]) await page.context().close();
  });

  it('has a relayed call go on through its new relay', async () => {
    const alice = await signIn(browser, server, 'alice', { relayOnly: true });
    const bob = await signIn(browser, server, 'bob', { relayOnly: true });
    const id = await connect(alice, bob);
    for (const page of [alice, bob]) await videoAdvances(page);
    assert.equal(await server.stop(), 0);
    server = await start(new URL(server.http).host);
    for (const page of [alice, bob]) await page.waitForSelector('#connection[data-state="online"]', { timeout: 20_000 });
    await until('there is a relay again', async () => (await server.metric('callbox_allocations')) >= 2, 30_000);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      assert.equal((await stats(page)).local, 'relay');
      assert.equal(await page.evaluate(() => window.peerConnections.length), 1, 'it is the same connection');
    }
    await until('the call is whole', async () => (await server.call(id)).state === 'connected');
    await bob.click('#hang-up');
    assert.equal((await summary(alice)).reason, 'hangup');
    for (const page of [alice, bob]) await page.context().close();
  });
});
