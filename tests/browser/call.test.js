// Two people call each other through the demo page, once directly and once through the relay.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect, inState, launch, noComplaints, ring, screenshot, signIn, startServer, stats, summary, until, videoAdvances, withinReach } from './browser.js';

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

/** The relay holds nothing any more. */
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
        // What the person sees agrees with what the browser knows.
        await page.waitForSelector(`#view-call[data-path="${path}"][data-picture="on"]`);
        assert.equal(await page.textContent('#path'), path);
        await until('a round-trip time is shown', async () => / ms$/.test(await page.textContent('#rtt')));
        assert.ok(Number(await page.getAttribute('[data-metric="frames-decoded"]', 'data-value')) > 0);
      }
      await screenshot(alice, `${path}-alice`);
      await screenshot(bob, `${path}-bob`);

      const live = await server.call(id);
      assert.equal(live.state, 'connected');
      assert.deepEqual(live.participants.map(({ userId, role }) => [userId, role]), [['alice', 'caller'], ['bob', 'callee']]);

      await alice.click('#hang-up');
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
        // Some seconds of video in both directions are far more than this.
        assert.ok(over.relay.bytesUp > 20_000, `bytes went up: ${JSON.stringify(over.relay)}`);
        assert.ok(over.relay.bytesDown > 20_000, `bytes came down: ${JSON.stringify(over.relay)}`);
      }
      noComplaints(alice, bob);
      await alice.context().close();
      await bob.context().close();
    });
  }

  it('of mixed minds: one side relay only, the other open', async () => {
    const alice = await signIn(browser, server, 'alice', { relayOnly: true });
    const bob = await signIn(browser, server, 'bob');
    await connect(alice, bob);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      await page.waitForSelector('#view-call[data-path="relayed"]');
    }
    assert.equal((await stats(alice)).local, 'relay');
    await bob.click('#hang-up');
    await summary(alice);
    await noAllocations();
    await alice.context().close();
    await bob.context().close();
  });
});

it('an audio call, muted and unmuted', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  await connect(alice, bob, 'audio');
  await until('bob hears alice', async () => (await stats(bob)).audioPackets > 10);
  assert.equal(await alice.isVisible('#camera'), false);
  // By the keyboard, and by what a screen reader is told.
  await alice.keyboard.press('m');
  assert.equal(await alice.getAttribute('#mic', 'aria-label'), 'Unmute microphone');
  const enabled = () => alice.evaluate(() => window.peerConnections.at(-1).getSenders()[0].track.enabled);
  assert.equal(await enabled(), false);
  await alice.keyboard.press('m');
  assert.equal(await enabled(), true);
  await bob.click('#hang-up');
  assert.equal((await summary(alice)).title, 'bob ended the call');
  noComplaints(alice, bob);
  await alice.context().close();
  await bob.context().close();
});

it('an audio call becomes one of video when the other side agrees', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  await connect(alice, bob, 'audio');
  await alice.click('#upgrade');
  await bob.waitForSelector('#ask[open]');
  await screenshot(bob, 'asked');
  await bob.click('#ask-no');
  await alice.waitForFunction(() => document.getElementById('notice-text').textContent.includes('without video'));
  assert.equal(await bob.isVisible('#notice'), false, 'bob knows what he said');
  assert.equal(await alice.isVisible('#camera'), false);
  await alice.click('#upgrade');
  await bob.click('#ask-yes');
  for (const page of [alice, bob]) {
    await videoAdvances(page);
    await page.waitForSelector('#view-call[data-type="video"][data-picture="on"]');
    assert.equal(await page.isVisible('#camera'), true);
    assert.equal(await page.isVisible('#upgrade'), false);
  }
  await screenshot(bob, 'upgraded');
  await alice.click('#hang-up');
  await summary(bob);
  noComplaints(alice, bob);
  await alice.context().close();
  await bob.context().close();
});

it('the camera goes off and on again', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  for (const page of [alice, bob]) await page.setViewportSize({ width: 640, height: 360 });
  await ring(alice, bob);
  await inState(alice, 'ringing');
  await withinReach(alice, '#mic', '#camera', '#hang-up');
  await withinReach(bob, '#decline', '#answer');
  await bob.click('#answer');
  for (const page of [alice, bob]) await inState(page, 'connected', 20_000);
  await bob.waitForSelector('#view-call[data-picture="on"]');
  // On a phone, upright and on its side, nothing needs scrolling.
  for (const [width, height] of [[360, 640], [640, 360], [740, 360]]) {
    await alice.setViewportSize({ width, height });
    await withinReach(alice, '#mic', '#camera', '#hang-up');
  }
  await alice.click('#camera');
  await bob.waitForSelector('#view-call[data-picture="off"]', { timeout: 15_000 });
  await alice.click('#camera');
  await bob.waitForSelector('#view-call[data-picture="on"]', { timeout: 15_000 });
  await alice.click('#hang-up');
  await summary(bob);
  noComplaints(alice, bob);
  await alice.context().close();
  await bob.context().close();
});

it('two calls one after the other, with the roles changed', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  await connect(alice, bob);
  await alice.click('#hang-up');
  await summary(bob);
  await connect(bob, alice);
  await videoAdvances(alice);
  await alice.click('#hang-up');
  await summary(bob);
  noComplaints(alice, bob);
  await alice.context().close();
  await bob.context().close();
});

it('the call goes on while the server connection comes back', async () => {
  const alice = await signIn(browser, server, 'alice');
  const bob = await signIn(browser, server, 'bob');
  await connect(alice, bob);
  // Closed from underneath the page, as a network does it.
  await alice.evaluate(() => window.sockets.at(-1).close());
  await alice.waitForSelector('#connection:not([data-state="online"])');
  await alice.waitForSelector('#connection[data-state="online"]');
  await inState(alice, 'connected');
  await videoAdvances(alice);
  await videoAdvances(bob);
  // And it is still a call to the server: the hang-up arrives.
  await alice.click('#hang-up');
  assert.equal((await summary(bob)).reason, 'hangup');
  await alice.context().close();
  await bob.context().close();
});
