// Tests calls through the demo page, directly and through the relay.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { attribute, click, isVisible, launch, closePage, assertNoErrors, screenshot, startServer, text, until } from './browser.js';
import { connect, inState, ring, signIn, summary, assertClickable } from './demo.js';
import { audioAdvances, stats, videoAdvances } from './media.js';

let server;
let browser;
before(async () => {
  server = await startServer({ name: 'call', directory: import.meta.dirname });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
});

/** Waits until the relay has no allocations. */
const noAllocations = () => until('no allocation is left', async () => (await server.metric('callbox_allocations')) === 0);

describe('a video call through the demo page', () => {
  for (const path of ['direct', 'relayed']) {
    it(path, async () => {
      const relayOnly = path === 'relayed';
      const alice = await signIn(browser, server, 'alice', { relayOnly });
      const bob = await signIn(browser, server, 'bob', { relayOnly });
      const id = await connect(alice, bob);

      for (const page of [alice, bob]) {
        await videoAdvances(page);
        const { local, remote } = await stats(page);
        if (relayOnly) {
          assert.equal(local, 'relay');
          assert.equal(remote, 'relay');
        } else {
          assert.notEqual(local, 'relay');
          assert.notEqual(remote, 'relay');
        }
        // The page shows the path that the browser reports.
        await page.waitForSelector(`#view-call[data-path="${path}"][data-picture="on"]`);
        assert.equal(await text(page, '#path'), path);
        await until('a round-trip time is shown', async () => / ms$/.test(await text(page, '#rtt')));
        assert.ok(Number(await attribute(page, '[data-metric="frames-decoded"]', 'data-value')) > 0);
      }
      await screenshot(alice, `${path}-alice`);
      await screenshot(bob, `${path}-bob`);

      const live = await server.call(id);
      assert.equal(live.state, 'connected');
      assert.deepEqual(live.participants.map(({ userId, role }) => [userId, role]), [['alice', 'caller'], ['bob', 'callee']]);

      await click(alice, '#hang-up');
      assert.deepEqual(await summary(alice), { reason: 'hangup', title: 'You ended the call with bob' });
      assert.deepEqual(await summary(bob), { reason: 'hangup', title: 'alice ended the call' });
      await noAllocations();

      const over = await server.call(id);
      assert.equal(over.state, 'ended');
      assert.equal(over.reason, 'hangup');
      assert.equal(over.endedBy, 'alice');
      assert.ok(over.duration > 0);
      if (relayOnly) {
        assert.ok(over.relay.allocations >= 2, `each side had an allocation: ${JSON.stringify(over.relay)}`);
        // A few seconds of video in both directions exceed this by far.
        assert.ok(over.relay.bytesUp > 20_000, `bytes went up: ${JSON.stringify(over.relay)}`);
        assert.ok(over.relay.bytesDown > 20_000, `bytes came down: ${JSON.stringify(over.relay)}`);
      }
      assertNoErrors(alice, bob);
      await closePage(alice);
      await closePage(bob);
    });
  }

  it('between a relay-only side and an unrestricted one', async () => {
    const alice = await signIn(browser, server, 'alice', { relayOnly: true });
    const bob = await signIn(browser, server, 'bob');
    await connect(alice, bob);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      await page.waitForSelector('#view-call[data-path="relayed"]');
    }
    assert.equal((await stats(alice)).local, 'relay');
    await click(bob, '#hang-up');
    await summary(alice);
    await noAllocations();
    await closePage(alice);
    await closePage(bob);
  });
});

it('an audio call can be muted and unmuted', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  await connect(alice, bob, 'audio');
  await audioAdvances(bob);
  assert.equal(await isVisible(alice, '#camera'), false);
  // By keyboard, and with the label for screen readers.
  await alice.keyboard.press('m');
  assert.equal(await attribute(alice, '#mic', 'aria-label'), 'Unmute microphone');
  const enabled = () => alice.evaluate(() => window.peerConnections.at(-1).getSenders()[0].track.enabled);
  assert.equal(await enabled(), false);
  await alice.keyboard.press('m');
  assert.equal(await enabled(), true);
  await click(bob, '#hang-up');
  assert.equal((await summary(alice)).title, 'bob ended the call');
  assertNoErrors(alice, bob);
  await closePage(alice);
  await closePage(bob);
});

it('an audio call becomes a video call when the other side agrees', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  await connect(alice, bob, 'audio');
  await click(alice, '#upgrade');
  await bob.waitForSelector('#ask[open]');
  await screenshot(bob, 'asked');
  await click(bob, '#ask-no');
  await alice.waitForFunction(() => document.getElementById('notice-text').textContent.includes('without video'));
  assert.equal(await isVisible(bob, '#notice'), false, 'no notice for the side that declined');
  assert.equal(await isVisible(alice, '#camera'), false);
  await click(alice, '#upgrade');
  await click(bob, '#ask-yes');
  for (const page of [alice, bob]) {
    await videoAdvances(page);
    await page.waitForSelector('#view-call[data-type="video"][data-picture="on"]');
    assert.equal(await isVisible(page, '#camera'), true);
    assert.equal(await isVisible(page, '#upgrade'), false);
  }
  await screenshot(bob, 'upgraded');
  await click(alice, '#hang-up');
  await summary(bob);
  assertNoErrors(alice, bob);
  await closePage(alice);
  await closePage(bob);
});

it('the camera can be switched off and on again', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  for (const page of [alice, bob]) await page.setViewport({ width: 640, height: 360 });
  await ring(alice, bob);
  await inState(alice, 'ringing');
  await assertClickable(alice, '#mic', '#camera', '#hang-up');
  await assertClickable(bob, '#decline', '#answer');
  await click(bob, '#answer');
  for (const page of [alice, bob]) await inState(page, 'connected');
  await bob.waitForSelector('#view-call[data-picture="on"]');
  // On a phone, in portrait and landscape, nothing requires scrolling.
  for (const [width, height] of [[360, 640], [640, 360], [740, 360]]) {
    await alice.setViewport({ width, height });
    await assertClickable(alice, '#mic', '#camera', '#hang-up');
  }
  await click(alice, '#camera');
  await bob.waitForSelector('#view-call[data-picture="off"]');
  await click(alice, '#camera');
  await bob.waitForSelector('#view-call[data-picture="on"]');
  await click(alice, '#hang-up');
  await summary(bob);
  assertNoErrors(alice, bob);
  await closePage(alice);
  await closePage(bob);
});

it('the call continues while the server connection is restored', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  await connect(alice, bob);
  // Closed below the page's code, like a connection loss.
  await alice.evaluate(() => window.sockets.at(-1).close());
  await alice.waitForSelector('#connection:not([data-state="online"])');
  assert.equal(await text(alice, '#connection-text'), 'Reconnecting');
  await alice.waitForSelector('#connection[data-state="online"]');
  assert.equal(await text(alice, '#connection-text'), 'Connected');
  await inState(alice, 'connected');
  await videoAdvances(alice);
  await videoAdvances(bob);
  // The server still has the call: the hang-up arrives.
  await click(alice, '#hang-up');
  assert.equal((await summary(bob)).reason, 'hangup');
  await closePage(alice);
  await closePage(bob);
});
