// A call whose path is made anew, whose connection to the server is cut, or whose server is another one.

import assert from 'node:assert/strict';
import { PATIENCE_MS, until } from '../browser.js';
import { audioAdvances, longestPause, stats, videoAdvances } from '../media.js';
import { changeAddress, dropUdp, neverResume, wire } from '../network.js';
import { connect, hears, settled, state, ufrag } from '../app/app.js';

/** Both see each other over a path that is not the one of these credentials. */
async function onAnotherPath(pages, before) {
  for (const [number, page] of pages.entries()) {
    await until(`${page.user} has another path`, async () => (await ufrag(page)) !== before[number], PATIENCE_MS);
    await settled(page);
  }
  for (const page of pages) await videoAdvances(page);
}

const restartBy = (...users) => async ({ open }) => {
  const pages = [await open('alice'), await open('bob')];
  await connect(...pages, { video: true });
  const before = await Promise.all(pages.map(ufrag));
  await Promise.all(pages.filter(({ user }) => users.includes(user)).map((page) => page.evaluate(() => window.call.restartIce())));
  await onAnotherPath(pages, before);
  for (const page of pages) await state(page, 'connected');
};

const cut = (resumes) => async ({ open, server }) => {
  const way = await wire(new URL(server().http));
  try {
    const pages = [await open('alice', { server: way.http }), await open('bob')];
    const [alice, bob] = pages;
    const id = await connect(alice, bob, { video: true });
    for (const page of pages) await videoAdvances(page);
    if (!resumes) await neverResume(alice);
    const session = await alice.evaluate(() => window.box.sessionId);
    way.cut();
    await until('bob knows', () => bob.evaluate(() => !window.call.peerConnected), PATIENCE_MS);
    for (const page of pages) await videoAdvances(page);
    way.mend();
    await until('alice is back', () => bob.evaluate(() => window.call.peerConnected), PATIENCE_MS);
    assert.equal((await alice.evaluate(() => window.box.sessionId)) === session, resumes);
    assert.equal((await server().call(id)).state, 'connected');
    const before = await Promise.all(pages.map(ufrag));
    await alice.evaluate(() => window.call.restartIce());
    await onAnotherPath(pages, before);
    await bob.evaluate(() => window.call.hangUp());
    await hears(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
  } finally {
    way.close();
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
    await until('there is a relay again', async () => (await server().metric('callbox_allocations')) >= 2, PATIENCE_MS);
  } else {
    const pauses = await Promise.all(pages.map((page) => longestPause(page, () => again)));
    for (const longest of pauses) assert.ok(longest < 3_000, `no frame for ${longest} ms`);
  }
  for (const page of pages) {
    await state(page, 'connected');
    await videoAdvances(page);
    // While a path is looked for, the browser may show none.
    const isAsAsked = ({ local }) => Boolean(local) && (local === 'relay') === Boolean(relay.relay);
    await until(`the path of ${page.user} is ${relay.relay ? 'relayed' : 'direct'}`, async () => isAsAsked(await stats(page)), PATIENCE_MS);
  }
  const before = await Promise.all(pages.map(ufrag));
  await pages[1].evaluate(() => window.call.restartIce());
  await onAnotherPath(pages, before);
};

/**
 * From now on the connection that a page has takes no candidates, and `hasFailed` says whether it has been
 * `failed` at any time.
 */
const keepCandidates = (page) => page.evaluate(() => {
  const { pc } = window.call;
  const [describe, add] = [pc.setRemoteDescription, pc.addIceCandidate];
  pc.setRemoteDescription = ({ type, sdp }) => describe({ type, sdp: sdp.replace(/^a=candidate:.*\r\n/gm, '') });
  pc.addIceCandidate = async () => {};
  window.letCandidatesCome = () => Object.assign(pc, { setRemoteDescription: describe, addIceCandidate: add });
  pc.addEventListener('connectionstatechange', () => { window.hasFailed ||= pc.connectionState === 'failed'; });
});
const hasFailed = (page) => page.evaluate(() => window.hasFailed);

/** Each page has one connection that is not closed, and frames come over it in both directions. */
async function settledIn(pages, id, server) {
  for (const page of pages) {
    await settled(page);
    await state(page, 'connected');
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
        await until(`${each.user} has another path`, async () => (await ufrag(each)) !== before[number], PATIENCE_MS);
        await settled(each);
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
    await onAnotherPath(pages, before);
  },
  'the relay is away for longer than a restart takes': async ({ open, server }) => {
    const pages = [await open('alice', { relay: 'udp' }), await open('bob', { relay: 'udp' })];
    const id = await connect(...pages, { video: true });
    for (const page of pages) await videoAdvances(page);
    const before = await Promise.all(pages.map(ufrag));
    const letUdpPass = dropUdp();
    try {
      // Nobody has a candidate for the path that is agreed on. Chromium goes on looking for one for longer.
      for (const [number, page] of pages.entries()) {
        await until(`${page.user} has looked for another path`, async () => (await ufrag(page)) !== before[number]
          && (page.kind === 'chromium' || (await page.evaluate(() => window.call.pc.iceGatheringState)) === 'complete'), PATIENCE_MS);
      }
    } finally {
      letUdpPass();
    }
    await settledIn(pages, id, server());
  },
  'no UDP passes for a while': async ({ open, server }) => {
    const pages = [await open('alice'), await open('bob')];
    const id = await connect(...pages, { video: true });
    const letUdpPass = dropUdp();
    try {
      // One of them notices first, and the other is told. There may be another path, over TCP, before that one looks.
      for (const page of pages) {
        await until(`${page.user} knows`, () => page.evaluate(() => window.said.some(([event, detail]) => (
          (event === 'state' && detail === 'reconnecting') || (event === 'peer' && detail === false)
        ))), PATIENCE_MS);
      }
    } finally {
      letUdpPass();
    }
    for (const page of pages) {
      await state(page, 'connected');
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
      await keepCandidates(page);
    }
    await pages[0].evaluate(() => { window.call.restartIce(); });
    // Chromium goes on over the path that it had.
    const firefox = pages.filter(({ kind }) => kind === 'firefox');
    if (firefox.length) await until('ICE has failed', async () => (await Promise.all(firefox.map(hasFailed))).some(Boolean), PATIENCE_MS);
    for (const page of pages) await page.evaluate(() => window.letCandidatesCome());
    await settledIn(pages, id, server());
    for (const page of pages) {
      const { muted, sends } = await page.evaluate(() => ({ muted: window.call.muted, sends: window.call.pc.getSenders().map(({ track }) => track && `${track.kind} ${track.enabled}`) }));
      assert.deepEqual([muted, sends], [true, ['audio false', 'video true']], 'what was said of media is still so');
      await page.evaluate(() => window.call.mute(false));
    }
    for (const page of pages) await audioAdvances(page);
    if (firefox.length) for (const page of pages) assert.ok(await page.evaluate(() => window.peerConnections.length > 1), 'another connection');
    // And it is a connection like any other.
    const before = await Promise.all(pages.map(ufrag));
    await pages[1].evaluate(() => window.call.restartIce());
    await onAnotherPath(pages, before);
  },
};
