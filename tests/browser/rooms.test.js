// Tests rooms through @callbox/client: a full mesh of pages, with a lost and a restarted server and
// a reloaded page.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { closeAllPages, launch, assertNoErrors, PATIENCE_MS, startServer, until } from './browser.js';
import { joinRoom, waitForMembers, member, open as openApp, waitForRoomEvent, waitForAllVideos } from './app/app.js';
import { startSite } from './app/site.js';
import { forceNewSession, startProxy } from './network.js';

/** A fixed secret, since tokens must stay valid after a restart. */
const args = ['--jwt-secret', 'a secret that is the same each time'];
const start = (http) => startServer({ http, args, name: 'rooms', directory: import.meta.dirname });

let server;
let browser;
let site;
before(async () => {
  server = await start();
  browser = await launch();
  site = await startSite();
});
after(async () => {
  await browser?.close();
  site?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
});
afterEach(() => closeAllPages(browser, server));

/** Opens the application with the client that the server serves. */
const open = (user, query) => openApp(site, browser, server, user, { module: new URL('/callbox.js', server.http).href, device: `${user}-laptop`, ...query });

/** Returns three pages that are connected to each other in a room. */
async function openThreeMembers(query) {
  const pages = [];
  for (const user of ['alice', 'bob', 'carol']) pages.push(await open(user, query));
  for (const page of pages) await joinRoom(page);
  const [alice, bob, carol] = pages;
  await Promise.all([waitForMembers(alice, 'bob', 'carol'), waitForMembers(bob, 'alice', 'carol'), waitForMembers(carol, 'alice', 'bob')]);
  return pages;
}

describe('three members of a room', () => {
  it('exchange video through the relay, messages and media state', async () => {
    const [alice, bob, carol] = await openThreeMembers({ relay: 'any' });
    for (const page of [alice, bob, carol]) await waitForAllVideos(page);
    await until('each has an allocation for each of the others', async () => (await server.metric('callbox_allocations')) >= 6);
    const { callId, participantId } = await alice.evaluate(() => ({ ...window.room }));
    const record = await server.call(callId);
    assert.deepEqual([record.roomId, record.state], ['team-a/standup', 'connected']);
    assert.deepEqual(record.participants.map(({ userId }) => userId).sort(), ['alice', 'bob', 'carol']);

    await alice.evaluate(() => { window.room.mute(); window.room.setCamera(false); });
    for (const page of [bob, carol]) {
      await until(`${page.user} is notified`, async () => {
        const { muted, video } = await member(page, 'alice', 'member.remoteMedia');
        return muted && !video;
      });
    }
    await bob.evaluate(() => window.room.send({ hand: 'raised' }));
    for (const page of [alice, carol]) await waitForRoomEvent(page, 'message bob {"hand":"raised"}');
    await carol.evaluate((id) => window.room.send('for alice', window.room.members.find((each) => each.id === id)), participantId);
    await waitForRoomEvent(alice, 'message carol "for alice"');
    assert.ok(!(await bob.evaluate(() => window.heard)).some((text) => text.includes('for alice')));

    await until('each has reported', async () => (await server.call(callId)).participants.every(({ stats }) => stats?.path === 'relay'), PATIENCE_MS);

    // A later member receives the current state.
    const dave = await open('dave', { relay: 'any' });
    await joinRoom(dave, { video: false });
    await waitForMembers(dave, 'alice', 'bob', 'carol');
    assert.deepEqual(await member(dave, 'alice', 'member.remoteMedia'), { muted: true, video: false, held: false });
    for (const page of [alice, bob, carol]) {
      await waitForRoomEvent(page, 'joined dave');
      await until('dave sends audio only', async () => !(await member(page, 'dave', 'member.remoteMedia')).video);
    }

    await bob.evaluate(() => window.room.leave());
    for (const page of [alice, carol]) await waitForRoomEvent(page, 'left bob hangup');
    await waitForRoomEvent(bob, 'ended hangup');
    assert.equal(await bob.evaluate(() => window.room.localStream.getTracks().every(({ readyState }) => readyState === 'ended')), true, 'the camera is off');
    await Promise.all([waitForMembers(alice, 'carol', 'dave'), waitForMembers(carol, 'alice', 'dave')]);
    await carol.close();
    await waitForRoomEvent(alice, 'left carol hangup');
    for (const page of [alice, dave]) await page.evaluate(() => window.box.close());
    assert.equal((await server.call(callId)).reason, 'hangup');
    assertNoErrors(alice, bob, dave);
  });

  it('continue while the server is unreachable, with a resumed and with a new session', async () => {
    const proxy = await startProxy(new URL(server.http));
    const [alice, bob] = [await open('alice', { server: proxy.http }), await open('bob')];
    for (const page of [alice, bob]) await joinRoom(page);
    await Promise.all([waitForMembers(alice, 'bob'), waitForMembers(bob, 'alice')]);
    const connections = () => Promise.all([alice, bob].map((page) => page.evaluate(() => window.peerConnections.length)));
    const disconnect = async () => {
      proxy.cut();
      await until('bob is notified', async () => !(await member(bob, 'alice', 'member.peerConnected')), PATIENCE_MS);
      await waitForAllVideos(alice);
    };
    const back = () => until('alice is back', () => member(bob, 'alice', 'member.peerConnected'));

    await disconnect();
    proxy.restore();
    await back();

    // A new session, as if the resume window had passed. Carol joins meanwhile.
    await forceNewSession(alice);
    const session = await alice.evaluate(() => window.box.sessionId);
    await disconnect();
    const carol = await open('carol');
    await joinRoom(carol);
    await until('carol is connected to bob', () => member(carol, 'bob', "member.state === 'connected'"));
    proxy.restore();
    await back();
    await Promise.all([waitForMembers(alice, 'bob', 'carol'), waitForMembers(bob, 'alice', 'carol'), waitForMembers(carol, 'alice', 'bob')]);
    for (const page of [alice, bob, carol]) await waitForAllVideos(page);
    assert.notEqual(await alice.evaluate(() => window.box.sessionId), session);
    assert.deepEqual(await connections(), [2, 2], 'nobody connects twice with the same participant');
    proxy.close();
  });

  it('join again after a restart of the server', async () => {
    const pages = await openThreeMembers();
    const before = await pages[0].evaluate(() => window.room.callId);
    assert.equal(await server.stop(), 0);
    server = await start(new URL(server.http).host);
    for (const page of pages) await until(`${page.user} is in the next room`, () => page.evaluate((old) => window.room.callId !== old, before), PATIENCE_MS);
    const [alice, bob, carol] = pages;
    await Promise.all([waitForMembers(alice, 'bob', 'carol'), waitForMembers(bob, 'alice', 'carol'), waitForMembers(carol, 'alice', 'bob')]);
    for (const page of pages) {
      await waitForAllVideos(page);
      assert.ok(!(await page.evaluate(() => window.heard)).some((text) => text.startsWith('ended')));
    }
  });

  it('treat a member who loads the page again as a new participant', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    const first = await joinRoom(alice);
    await joinRoom(bob);
    await Promise.all([waitForMembers(alice, 'bob'), waitForMembers(bob, 'alice')]);
    // A crash: no leave request, and the same device id afterwards.
    const crash = await alice.createCDPSession();
    crash.send('Page.crash').catch(() => {});
    await until('bob is notified', async () => !(await member(bob, 'alice', 'member.peerConnected')), PATIENCE_MS);
    const again = await open('alice');
    assert.notEqual(await joinRoom(again), first);
    await Promise.all([waitForMembers(again, 'bob'), waitForMembers(bob, 'alice')]);
    await waitForRoomEvent(bob, 'left alice connection_lost');
    await waitForAllVideos(bob);
    assertNoErrors(bob, again);
  });
});
