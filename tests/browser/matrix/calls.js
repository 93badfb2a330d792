// Scenarios of a call's setup and end.

import assert from 'node:assert/strict';
import { PATIENCE_MS, until } from '../browser.js';
import { audioAdvances, stats, videoAdvances } from '../media.js';
import { connect, waitForEvent, waitForState } from '../app/app.js';
import { SMALL } from '../app/site.js';

const relayed = (transport) => async ({ open, server }) => {
  const [alice, bob] = [await open('alice', { relay: transport }), await open('bob', { relay: transport })];
  const id = await connect(alice, bob, { video: true });
  for (const page of [alice, bob]) {
    await videoAdvances(page);
    const { local, remote, relayProtocol } = await stats(page);
    assert.deepEqual([local, remote, relayProtocol], ['relay', 'relay', transport]);
  }
  await bob.evaluate(() => window.call.hangUp());
  await waitForEvent(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
  const { relay } = await server().call(id);
  assert.ok(relay.allocations >= 2 && relay.bytesUp > 5_000 && relay.bytesDown > 5_000, JSON.stringify(relay));
};

export const calls = {
  'a direct call': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob, { video: true });
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      await audioAdvances(page);
      const { local, remote } = await stats(page);
      assert.ok(local !== 'relay' && remote !== 'relay', `${local} to ${remote}`);
      await until(`${page.user} shows the other side`, () => page.evaluate(() => document.querySelector('video').videoWidth > 0), PATIENCE_MS);
    }
  },
  'a call relayed over UDP': relayed('udp'),
  'a call relayed over TCP': relayed('tcp'),
  'a call relayed over TLS': relayed('tls'),
  'hang-up by the caller, by the callee, and by both at once': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    for (const who of [[alice], [bob], [alice, bob]]) {
      await connect(alice, bob);
      await Promise.all(who.map((page) => page.evaluate(() => window.call.hangUp())));
      for (const page of [alice, bob]) await waitForEvent(page, 'ended', { reason: 'hangup' });
    }
  },
  'both call each other at once': async ({ open, server }) => {
    const [alice, bob] = [await open('alice', { answer: 'no' }), await open('bob', { answer: 'no' })];
    const call = (page, user) => page.evaluate((other, video) => window.box.call(other, { video }).then(window.follow).then(({ id }) => id), user, SMALL);
    const ids = await Promise.all([call(alice, 'bob'), call(bob, 'alice')]);
    assert.equal(ids[0], ids[1]);
    for (const page of [alice, bob]) {
      await waitForState(page, 'connected');
      await videoAdvances(page);
      assert.equal(await page.evaluate(() => window.box.calls.length), 1);
    }
    assert.equal((await server().call(ids[0])).state, 'connected');
  },
  'a page is loaded again in a call': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob);
    await bob.reload();
    await bob.waitForSelector('body[data-ready]');
    // Chromium's page can still hang up while it unloads; Firefox's does so after the reload.
    await waitForEvent(alice, 'ended', { endedBy: 'bob' });
    await connect(alice, bob);
    await audioAdvances(bob);
  },
};
