// Scenarios with more than two pages.

import assert from 'node:assert/strict';
import { PATIENCE_MS, until } from '../browser.js';
import { videoAdvances } from '../media.js';
import { connect, joinRoom, waitForEvent, waitForMembers, member, waitForRoomEvent, waitForAllVideos, waitForState } from '../app/app.js';

export const multiparty = {
  'a call is handed to another device': async ({ open, server }) => {
    const [alice, phone] = [await open('alice'), await open('bob', { device: 'phone' })];
    const id = await connect(alice, phone, { video: true });
    const tablet = await open('bob', { device: 'tablet' }, 'alice');
    assert.equal(await phone.evaluate(() => window.call.transfer('tablet')), true);
    await waitForEvent(phone, 'ended', { reason: 'answered_elsewhere' });
    for (const page of [alice, tablet]) {
      await waitForState(page, 'connected');
      await videoAdvances(page);
    }
    assert.equal((await server().call(id)).participants[1].deviceId, 'tablet');
    await tablet.evaluate(() => window.call.restartIce());
    await videoAdvances(alice);
  },
  'a room of three': async ({ open }) => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    const carol = await open('carol', {}, 'other');
    for (const page of [alice, bob, carol]) await joinRoom(page);
    await Promise.all([waitForMembers(alice, 'bob', 'carol'), waitForMembers(bob, 'alice', 'carol'), waitForMembers(carol, 'alice', 'bob')]);
    for (const page of [alice, bob, carol]) await waitForAllVideos(page);
    await Promise.all([alice, bob, carol].map((page) => page.evaluate(() => window.room.restartIce())));
    for (const page of [alice, bob, carol]) await waitForAllVideos(page);
    await alice.evaluate(() => { window.room.mute(); window.room.setCamera(false); });
    for (const page of [bob, carol]) {
      await until(`${page.user} is notified`, async () => {
        const { muted, video } = await member(page, 'alice', 'member.remoteMedia');
        return muted && !video;
      }, PATIENCE_MS);
    }
    await carol.evaluate(() => window.room.leave());
    for (const page of [alice, bob]) await waitForRoomEvent(page, 'left carol hangup');
    await Promise.all([waitForMembers(alice, 'bob'), waitForMembers(bob, 'alice')]);
  },
};
