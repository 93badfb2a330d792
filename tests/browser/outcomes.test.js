// Tests calls that are not answered or end abnormally, and what the pages show.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { click, closeAllPages, isVisible, launch, newPage, assertNoErrors, screenshot, startServer, text, until } from './browser.js';
import { connect, inState, ring, signIn, summary } from './demo.js';

let server;
let browser;
before(async () => {
  server = await startServer({ name: 'outcomes', directory: import.meta.dirname, args: ['--ring-timeout', '5s'] });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

let alice;
let bob;
beforeEach(async () => {
  alice = await signIn(browser, server, 'alice');
  bob = await signIn(browser, server, 'bob');
});
afterEach(async () => {
  await closeAllPages(browser, server);
  await until('no call is left', async () => (await server.metric('callbox_calls')) === 0);
  await until('no allocation is left', async () => (await server.metric('callbox_allocations')) === 0);
});

describe('a call that is not answered', () => {
  it('is declined by the callee', async () => {
    await ring(alice, bob);
    await inState(alice, 'ringing');
    await screenshot(bob, 'incoming');
    await click(bob, '#decline');
    assert.deepEqual(await summary(alice), { reason: 'rejected', title: 'bob declined' });
    assert.equal(await isVisible(bob, '#incoming'), false);
    assertNoErrors(alice, bob);
  });

  it('is cancelled by the caller', async () => {
    await ring(alice, bob);
    await click(alice, '#hang-up');
    assert.equal((await summary(alice)).title, 'You cancelled the call');
    assert.deepEqual(await summary(bob), { reason: 'cancelled', title: 'You missed a call from alice' });
    assert.equal(await isVisible(bob, '#incoming'), false);
    assertNoErrors(alice, bob);
  });

  it('times out', async () => {
    await ring(alice, bob);
    assert.deepEqual(await summary(alice), { reason: 'timeout', title: 'bob did not answer' });
    assert.deepEqual(await summary(bob), { reason: 'timeout', title: 'You missed a call from alice' });
    assertNoErrors(alice, bob);
  });

  it('to a user who is offline', async () => {
    await alice.locator('#dial-name').fill('nobody');
    await click(alice, '[data-action="dial-video"]');
    assert.deepEqual(await summary(alice), { reason: 'offline', title: 'nobody is not online' });
    assertNoErrors(alice);
  });

  it('to a user who is in another call', async () => {
    const carol = await signIn(browser, server, 'carol');
    await connect(alice, bob, 'audio');
    await click(carol, '[data-user="bob"] [data-action="call-video"]');
    assert.deepEqual(await summary(carol), { reason: 'busy', title: 'bob is busy' });
    // The other call is not disturbed.
    await inState(alice, 'connected');
    await inState(bob, 'connected');
    assert.equal(await isVisible(bob, '#incoming'), false);
    assertNoErrors(alice, bob, carol);
  });

  it('ends with an error when the camera is denied', async () => {
    await alice.evaluate(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'));
    });
    await click(alice, '[data-user="bob"] [data-action="call-video"]');
    assert.equal((await summary(alice)).reason, 'error');
    assert.match(await text(alice, '#last-call-text'), /blocked for this page\. Allow access/);
    assert.equal(await isVisible(bob, '#incoming'), false, 'it did not ring');
  });
});

it('with two devices, one answers and the other shows that', async () => {
  const phone = await signIn(browser, server, 'bob');
  await ring(alice, bob);
  await phone.waitForSelector('#incoming[open]');
  await click(phone, '#answer');
  assert.deepEqual(await summary(bob), { reason: 'answered_elsewhere', title: 'Answered on another device' });
  await inState(alice, 'connected');
  await inState(phone, 'connected');
  assertNoErrors(alice, bob, phone);
});

it('a call can be made by keyboard alone', async () => {
  const dave = await newPage(browser);
  await dave.goto(server.http);
  await dave.keyboard.type('dave');
  await dave.keyboard.press('Enter');
  await dave.waitForSelector('#connection[data-state="online"]');
  dave.user = 'dave';
  await alice.waitForSelector('[data-user="dave"]');
  await alice.focus('[data-user="dave"] [data-action="call-audio"]');
  await alice.keyboard.press('Enter');
  await dave.waitForSelector('#incoming[open]');
  await dave.keyboard.press('Escape');
  assert.equal(await isVisible(dave, '#incoming'), true, 'Escape does not close the call');
  // The answer button has the focus.
  await dave.keyboard.press('Enter');
  await inState(alice, 'connected');
  assertNoErrors(alice, dave);
});

describe('a call that loses a side', () => {
  it('ends when the callee closes the tab', async () => {
    await connect(alice, bob, 'audio');
    await bob.goto('about:blank');
    assert.deepEqual(await summary(alice), { reason: 'hangup', title: 'bob ended the call' });
    assertNoErrors(alice);
  });

  it('ends when the caller closes the tab while it rings', async () => {
    await ring(alice, bob);
    await alice.goto('about:blank');
    assert.equal((await summary(bob)).title, 'You missed a call from alice');
    assertNoErrors(bob);
  });

  it('ends when the browser disappears without a hang-up', async () => {
    const other = await launch();
    try {
      const carol = await signIn(other, server, 'carol');
      await click(carol, '[data-user="alice"] [data-action="call-audio"]');
      await click(alice, '#answer');
      await inState(alice, 'connected');
      // The page must not be able to hang up.
      await carol.evaluate(() => { window.addEventListener('pagehide', (event) => event.stopImmediatePropagation(), { capture: true }); });
    } finally {
      await other.close();
    }
    assert.match((await summary(alice, 60_000)).title, /^(carol ended the call|The connection to carol was lost)$/);
  });
});

it('a call shows that the server is shutting down', async () => {
  const own = await startServer({ name: 'stopping', directory: import.meta.dirname });
  const carol = await signIn(browser, own, 'carol');
  const dave = await signIn(browser, own, 'dave');
  await connect(carol, dave, 'audio');
  assert.equal(await own.stop(), 0);
  assert.equal((await summary(carol)).title, 'The server is shutting down');
  await carol.waitForSelector('#connection[data-state="offline"]');
});

it('a call shows that the server was lost when it is killed and restarted', async () => {
  const first = await startServer({ name: 'killed', directory: import.meta.dirname });
  const carol = await signIn(browser, first, 'carol');
  const dave = await signIn(browser, first, 'dave');
  await connect(carol, dave, 'audio');
  process.kill(first.pid, 'SIGKILL');
  for (const page of [carol, dave]) await page.waitForSelector('#connection[data-state="offline"]');
  const second = await startServer({ name: 'restarted', directory: import.meta.dirname, http: new URL(first.http).host });
  try {
    for (const page of [carol, dave]) {
      assert.deepEqual(await summary(page), { reason: 'server_lost', title: 'The connection to the server was lost' });
    }
  } finally {
    await second.stop();
    await first.stop();
  }
});
