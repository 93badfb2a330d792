// The server's connection to one page is cut in the middle of a call: media goes on, the page comes back
// to its session, and the path can be made anew afterwards.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, launch, longestPause, noComplaints, screenshot, signIn, startServer, stats, summary, until, videoAdvances, wire } from './browser.js';

let server;
let browser;
before(async () => {
  server = await startServer({ name: 'cut', directory: import.meta.dirname });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
});

describe('a page that loses the server', () => {
  it('keeps its call, and comes back to it', async () => {
    const way = await wire(new URL(server.http));
    const alice = await signIn(browser, way, 'alice', { relayOnly: true });
    const bob = await signIn(browser, server, 'bob', { relayOnly: true });
    const id = await connect(alice, bob);
    for (const page of [alice, bob]) await videoAdvances(page);

    const pauses = await Promise.all([alice, bob].map((page) => longestPause(page, async () => {
      if (page === alice) {
        way.cut();
        await alice.waitForSelector('#connection[data-state="offline"]');
        assert.equal(await alice.textContent('#connection-text'), 'Reconnecting');
        await screenshot(alice, 'cut-alice');
      }
      // This long it is cut: time itself is what is tested.
      await pause(5_000);
      if (page === alice) {
        assert.equal(await alice.textContent('#connection-text'), 'Reconnecting');
        way.mend();
      }
      await alice.waitForSelector('#connection[data-state="online"]');
    })));
    for (const longest of pauses) assert.ok(longest < 1_000, `no frame for ${longest} ms`);
    assert.equal(await alice.textContent('#connection-text'), 'Connected');
    assert.equal(await server.metric('callbox_sessions_resumed_total'), 1);
    const live = await server.call(id);
    assert.equal(live.state, 'connected');

    // The path is made anew, over the session that went on.
    const before = await alice.evaluate(() => window.peerConnections.at(-1).localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]);
    await alice.evaluate(() => window.peerConnections.at(-1).restartIce());
    await until('both have another path', () => alice.evaluate((old) => {
      const pc = window.peerConnections.at(-1);
      return !pc.localDescription.sdp.includes(`a=ice-ufrag:${old}`) && pc.signalingState === 'stable' && pc.connectionState === 'connected';
    }, before));
    for (const page of [alice, bob]) await videoAdvances(page);
    assert.equal((await stats(alice)).local, 'relay');

    await bob.click('#hang-up');
    assert.deepEqual(await summary(alice), { reason: 'hangup', title: 'bob ended the call' });
    // What the browser says of the connections that it could not make is no complaint of the page.
    alice.complaints = alice.complaints.filter((text) => !/WebSocket|ERR_|Failed to load/.test(text));
    noComplaints(alice, bob);
    for (const page of [alice, bob]) await page.context().close();
    way.close();
  });
});
