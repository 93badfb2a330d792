// Scenarios of media changes during a call.

import assert from 'node:assert/strict';
import { PATIENCE_MS, until } from '../browser.js';
import { audioAdvances, videoAdvances } from '../media.js';
import { connect, waitForEvent, waitUntilSettled } from '../app/app.js';
import { SMALL } from '../app/site.js';

const agree = (page) => page.evaluate((video) => { window.call.on('upgrade', (request) => request.accept({ video })); }, SMALL);
const upgrade = (page, type = 'video') => page.evaluate((wanted, video) => window.call.upgrade(wanted, { video }), type, SMALL);

/** Lets the next calls of a method of the peer connection fail. */
const failMethod = (page, method, times) => page.evaluate((name, many) => {
  const { pc } = window.call;
  let left = many;
  pc[name] = function failing(description) {
    if (description?.type === 'rollback' || left-- <= 0) return RTCPeerConnection.prototype[name].call(this, ...arguments);
    return Promise.reject(new Error('not this time'));
  };
}, method, times);

/** Waits until both sides have upgraded and receive video. */
async function waitForVideo(...pages) {
  for (const page of pages) {
    await waitForEvent(page, 'upgraded', { type: 'video', accepted: true });
    await videoAdvances(page);
    await until(`${page.user} shows the video`, () => page.evaluate(() => document.querySelector('video').videoWidth > 0), PATIENCE_MS);
    await waitUntilSettled(page);
  }
}

/**
 * Asserts that one offer served both sides: no section is duplicated, and the received tracks are
 * unmuted.
 */
async function assertOneOffer(...pages) {
  for (const page of pages) {
    assert.equal(await page.evaluate(() => window.call.pc.getTransceivers().length), 2, 'no section was added');
    await until(`${page.user} has an unmuted track`, () => page.evaluate(() => {
      const [track] = document.querySelector('video').srcObject.getVideoTracks();
      return track.readyState === 'live' && !track.muted;
    }), PATIENCE_MS);
  }
}

/** Waits until both sides send and receive audio only. */
async function waitForAudioOnly(...pages) {
  for (const page of pages) {
    await until(`${page.user} sends audio only`, () => page.evaluate(() => window.call.pc.signalingState === 'stable'
      && window.call.pc.getSenders().every(({ track }) => track?.kind !== 'video')), PATIENCE_MS);
    await audioAdvances(page);
  }
}

const upgradeBy = (user) => async ({ open }) => {
  const pages = { alice: await open('alice'), bob: await open('bob') };
  const { alice, bob } = pages;
  await connect(alice, bob);
  await agree(user === 'alice' ? bob : alice);
  assert.equal(await upgrade(pages[user]), true);
  await waitForVideo(alice, bob);
  await assertOneOffer(alice, bob);
};

export const changes = {
  'upgrade asked by the caller': upgradeBy('alice'),
  'upgrade asked by the callee': upgradeBy('bob'),
  'upgrade asked by both at once, downgrade, and upgrade again': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob);
    // Either page may receive the other's request before it makes its own.
    for (const page of [alice, bob]) await agree(page);
    assert.deepEqual(await Promise.all([alice, bob].map((page) => upgrade(page))), [true, true]);
    await waitForVideo(alice, bob);
    await assertOneOffer(alice, bob);
    assert.equal(await upgrade(bob, 'audio'), true);
    await waitForAudioOnly(alice, bob);
    await bob.evaluate(() => { window.said.length = 0; });
    await alice.evaluate(() => { window.said.length = 0; });
    assert.equal(await upgrade(bob), true);
    await waitForVideo(alice, bob);
    await assertOneOffer(alice, bob);
  },
  'upgrade of a caller that has no camera': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob);
    await bob.evaluate((video) => { window.call.on('upgrade', (request) => request.accept({ video })); }, SMALL);
    assert.equal(await alice.evaluate(() => window.call.upgrade('video', { video: false })), true);
    await videoAdvances(alice);
  },
  'mute and hold': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob, { video: true });
    for (const [one, other] of [[alice, bob], [bob, alice]]) {
      await one.evaluate(() => window.call.mute());
      await waitForEvent(other, 'media', { muted: true, held: false });
      await one.evaluate(() => window.call.hold());
      await waitForEvent(other, 'media', { muted: true, held: true });
      assert.deepEqual(await one.evaluate(() => window.call.pc.getSenders().map(({ track }) => track)), [null, null], 'nothing is sent on hold');
      await one.evaluate(() => { window.call.hold(false); window.call.mute(false); });
      await waitForEvent(other, 'media', { muted: false, held: false });
    }
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      await audioAdvances(page);
    }
  },
  'an offer, an answer and a description of its own are refused once': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob);
    await agree(bob);
    for (const [page, method, type] of [[bob, 'setRemoteDescription', 'video'], [alice, 'setRemoteDescription', 'audio'], [bob, 'setLocalDescription', 'video']]) {
      for (const each of [alice, bob]) await each.evaluate(() => { window.said.length = 0; });
      await failMethod(page, method, 1);
      assert.equal(await upgrade(alice, type), true);
      for (const each of [alice, bob]) await waitForEvent(each, 'warning', { code: 'negotiation_failed' });
      if (type === 'video') await waitForVideo(alice, bob);
      else await waitForAudioOnly(alice, bob);
      for (const each of [alice, bob]) assert.equal(await each.evaluate(() => window.call.state), 'connected');
    }
  },
};
