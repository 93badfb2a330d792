// Scenarios of ICE restarts, of a lost connection to the server, and of a restarted server.

import assert from 'node:assert/strict';
import { PATIENCE_MS, until } from '../browser.js';
import { audioAdvances, longestPause, stats, videoAdvances } from '../media.js';
import { changeAddress, dropUdp, forceNewSession, startProxy } from '../network.js';
import { connect, waitForEvent, waitUntilSettled, waitForState, ufrag } from '../app/app.js';

/** Waits until all pages have ICE credentials other than `before`, and receive video. */
async function waitForNewPath(pages, before) {
  for (const [number, page] of pages.entries()) {
    await until(`${page.user} has new ICE credentials`, async () => (await ufrag(page)) !== before[number], PATIENCE_MS);
    await waitUntilSettled(page);
  }
  for (const page of pages) await videoAdvances(page);
}

const restartBy = (...users) => async ({ open }) => {
  const pages = [await open('alice'), await open('bob')];
  await connect(...pages, { video: true });
  const before = await Promise.all(pages.map(ufrag));
  await Promise.all(pages.filter(({ user }) => users.includes(user)).map((page) => page.evaluate(() => window.call.restartIce())));
  await waitForNewPath(pages, before);
  for (const page of pages) await waitForState(page, 'connected');
};

const cut = (resumes) => async ({ open, server }) => {
  const proxy = await startProxy(new URL(server().http));
  try {
    const pages = [await open('alice', { server: proxy.http }), await open('bob')];
    const [alice, bob] = pages;
    const id = await connect(alice, bob, { video: true });
    for (const page of pages) await videoAdvances(page);
    if (!resumes) await forceNewSession(alice);
    const session = await alice.evaluate(() => window.box.sessionId);
    proxy.cut();
    await until('bob is notified', () => bob.evaluate(() => !window.call.peerConnected), PATIENCE_MS);
    for (const page of pages) await videoAdvances(page);
    proxy.restore();
    await until('alice is back', () => bob.evaluate(() => window.call.peerConnected), PATIENCE_MS);
    assert.equal((await alice.evaluate(() => window.box.sessionId)) === session, resumes);
    assert.equal((await server().call(id)).state, 'connected');
    const before = await Promise.all(pages.map(ufrag));
    await alice.evaluate(() => window.call.restartIce());
    await waitForNewPath(pages, before);
    await bob.evaluate(() => window.call.hangUp());
    await waitForEvent(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
  } finally {
    proxy.close();
  }
};

const restarted = (relay) => async ({ open, server, restart }) => {
  const pages = [await open('alice', relay), await open('bob', relay)];
  const id = await connect(...pages, { video: true });
  for (const page of pages) await videoAdvances(page);
  const again = (async () => {
    await restart();
    await until('both are back', async () => {
      const { state: now, participants } = await server().call(id);
      return now === 'connected' && participants.every(({ connected }) => connected);
    }, PATIENCE_MS);
  })();
  if (relay.relay) {
    await again;
    await until('the relay has allocations again', async () => (await server().metric('callbox_allocations')) >= 2, PATIENCE_MS);
  } else {
    const pauses = await Promise.all(pages.map((page) => longestPause(page, () => again)));
    for (const longest of pauses) assert.ok(longest < 3_000, `no frame for ${longest} ms`);
  }
  for (const page of pages) {
    await waitForState(page, 'connected');
    await videoAdvances(page);
    // The browser may report no path during an ICE restart.
    const isAsAsked = ({ local }) => Boolean(local) && (local === 'relay') === Boolean(relay.relay);
    await until(`the path of ${page.user} is ${relay.relay ? 'relayed' : 'direct'}`, async () => isAsAsked(await stats(page)), PATIENCE_MS);
  }
  const before = await Promise.all(pages.map(ufrag));
  await pages[1].evaluate(() => window.call.restartIce());
  await waitForNewPath(pages, before);
};

/**
 * Drops all candidates for a page's current connection from now on, and notes in `hasFailed`
 * whether the connection was `failed` at any time.
 */
const dropCandidates = (page) => page.evaluate(() => {
  const { pc } = window.call;
  const [describe, add] = [pc.setRemoteDescription, pc.addIceCandidate];
  pc.setRemoteDescription = ({ type, sdp }) => describe({ type, sdp: sdp.replace(/^a=candidate:.*\r\n/gm, '') });
  pc.addIceCandidate = async () => {};
  window.acceptCandidates = () => Object.assign(pc, { setRemoteDescription: describe, addIceCandidate: add });
  pc.addEventListener('connectionstatechange', () => { window.hasFailed ||= pc.connectionState === 'failed'; });
});
const hasFailed = (page) => page.evaluate(() => window.hasFailed);

/** Asserts that each page has exactly one open connection, with video in both directions. */
async function assertSettled(pages, id, server) {
  for (const page of pages) {
    await waitUntilSettled(page);
    await waitForState(page, 'connected');
  }
  for (const page of pages) {
    await videoAdvances(page);
    assert.equal(await page.evaluate(() => window.peerConnections.filter(({ connectionState }) => connectionState !== 'closed').length), 1);
    assert.ok(await page.evaluate(() => document.querySelector('video').srcObject === window.call.remoteStream));
  }
  assert.equal((await server.call(id)).state, 'connected');
}

export const paths = {
  'ICE restart by the caller': restartBy('alice'),
  'ICE restart by the callee': restartBy('bob'),
  'ICE restart by both at once': restartBy('alice', 'bob'),
  'ICE restart in a call of sound, by the caller and by the callee': async ({ open }) => {
    const pages = [await open('alice'), await open('bob')];
    await connect(...pages);
    for (const page of pages) {
      const before = await Promise.all(pages.map(ufrag));
      await page.evaluate(() => window.call.restartIce());
      for (const [number, each] of pages.entries()) {
        await until(`${each.user} has new ICE credentials`, async () => (await ufrag(each)) !== before[number], PATIENCE_MS);
        await waitUntilSettled(each);
      }
      for (const each of pages) {
        await audioAdvances(each);
        assert.deepEqual(await each.evaluate(() => window.said.filter(([event]) => event === 'warning')), []);
      }
    }
  },
  'the connection to the server is cut': cut(true),
  'the connection to the server is cut, and another session begins': cut(false),
  'the server is restarted in a direct call': restarted({}),
  'the server is restarted in a relayed call': restarted({ relay: 'udp' }),
  'the address of the machine changes': async ({ open }) => {
    const pages = [await open('alice'), await open('bob')];
    await connect(...pages, { video: true });
    for (const page of pages) await videoAdvances(page);
    const before = await Promise.all(pages.map(ufrag));
    changeAddress();
    await pages[0].evaluate(() => window.dispatchEvent(new Event('online')));
    await waitForNewPath(pages, before);
  },
  'the relay is away for longer than a restart takes': async ({ open, server }) => {
    const pages = [await open('alice', { relay: 'udp' }), await open('bob', { relay: 'udp' })];
    const id = await connect(...pages, { video: true });
    for (const page of pages) await videoAdvances(page);
    const before = await Promise.all(pages.map(ufrag));
    const allowUdp = dropUdp();
    try {
      // Neither side has a candidate for the new path. Chromium continues gathering for longer.
      for (const [number, page] of pages.entries()) {
        await until(`${page.user} has restarted ICE`, async () => (await ufrag(page)) !== before[number]
          && (page.kind === 'chromium' || (await page.evaluate(() => window.call.pc.iceGatheringState)) === 'complete'), PATIENCE_MS);
      }
    } finally {
      allowUdp();
    }
    await assertSettled(pages, id, server());
  },
  'no UDP passes for a while': async ({ open, server }) => {
    const pages = [await open('alice'), await open('bob')];
    const id = await connect(...pages, { video: true });
    const allowUdp = dropUdp();
    try {
      // One page notices first and the other is notified. Before that one reacts, there may be a
      // new path over TCP.
      for (const page of pages) {
        await until(`${page.user} is notified`, () => page.evaluate(() => window.said.some(([event, detail]) => (
          (event === 'state' && detail === 'reconnecting') || (event === 'peer' && detail === false)
        ))), PATIENCE_MS);
      }
    } finally {
      allowUdp();
    }
    for (const page of pages) {
      await waitForState(page, 'connected');
      await videoAdvances(page);
    }
    assert.equal((await server().call(id)).state, 'connected');
  },
  'no candidate of a restart comes until ICE has failed': async ({ open, server }) => {
    const pages = [await open('alice'), await open('bob')];
    const id = await connect(...pages, { video: true });
    for (const page of pages) {
      await videoAdvances(page);
      await page.evaluate(() => window.call.mute());
      await dropCandidates(page);
    }
    await pages[0].evaluate(() => { window.call.restartIce(); });
    // Chromium continues over its old path.
    const firefox = pages.filter(({ kind }) => kind === 'firefox');
    if (firefox.length) await until('ICE has failed', async () => (await Promise.all(firefox.map(hasFailed))).some(Boolean), PATIENCE_MS);
    for (const page of pages) await page.evaluate(() => window.acceptCandidates());
    await assertSettled(pages, id, server());
    for (const page of pages) {
      const { muted, sends } = await page.evaluate(() => ({ muted: window.call.muted, sends: window.call.pc.getSenders().map(({ track }) => track && `${track.kind} ${track.enabled}`) }));
      assert.deepEqual([muted, sends], [true, ['audio false', 'video true']], 'mute and camera state is preserved');
      await page.evaluate(() => window.call.mute(false));
    }
    for (const page of pages) await audioAdvances(page);
    if (firefox.length) for (const page of pages) assert.ok(await page.evaluate(() => window.peerConnections.length > 1), 'the connection was replaced');
    // The connection can be restarted like any other.
    const before = await Promise.all(pages.map(ufrag));
    await pages[1].evaluate(() => window.call.restartIce());
    await waitForNewPath(pages, before);
  },
};
