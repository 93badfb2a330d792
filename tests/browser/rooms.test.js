// Rooms through @callbox/client: pages that each have a connection with each, over a server that is lost,
// restarted, or asked by a page that was loaded again.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { everybodyLeaves, launch, noComplaints, PATIENCE_MS, startServer, until } from './browser.js';
import { enter, meets, member, open as openApp, roomSays, seesAll } from './app/app.js';
import { startSite } from './app/site.js';
import { neverResume, wire } from './network.js';

/** Tokens outlast the server: what is generated does not. */
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
afterEach(() => everybodyLeaves(browser, server));

/** With the client that the server has. */
const open = (user, query) => openApp(site, browser, server, user, { module: new URL('/callbox.js', server.http).href, device: `${user}-laptop`, ...query });

/** Three in the room, who see each other. */
async function three(query) {
  const pages = [];
  for (const user of ['alice', 'bob', 'carol']) pages.push(await open(user, query));
  for (const page of pages) await enter(page);
  const [alice, bob, carol] = pages;
  await Promise.all([meets(alice, 'bob', 'carol'), meets(bob, 'alice', 'carol'), meets(carol, 'alice', 'bob')]);
  return pages;
}

describe('three in a room', () => {
  it('see each other through the relay, and hear what each has to say', async () => {
    const [alice, bob, carol] = await three({ relay: 'any' });
    for (const page of [alice, bob, carol]) await seesAll(page);
    await until('each has an allocation for each of the others', async () => (await server.metric('callbox_allocations')) >= 6);
    const { callId, participantId } = await alice.evaluate(() => ({ ...window.room }));
    const record = await server.call(callId);
    assert.deepEqual([record.roomId, record.state], ['team-a/standup', 'connected']);
    assert.deepEqual(record.participants.map(({ userId }) => userId).sort(), ['alice', 'bob', 'carol']);

    await alice.evaluate(() => { window.room.mute(); window.room.setCamera(false); });
    for (const page of [bob, carol]) {
      await until(`${page.user} knows`, async () => {
        const { muted, video } = await member(page, 'alice', 'member.remoteMedia');
        return muted && !video;
      });
    }
    await bob.evaluate(() => window.room.send({ hand: 'raised' }));
    for (const page of [alice, carol]) await roomSays(page, 'message bob {"hand":"raised"}');
    await carol.evaluate((id) => window.room.send('for alice', window.room.members.find((each) => each.id === id)), participantId);
    await roomSays(alice, 'message carol "for alice"');
    assert.ok(!(await bob.evaluate(() => window.heard)).some((text) => text.includes('for alice')));

    await until('each has reported', async () => (await server.call(callId)).participants.every(({ stats }) => stats?.path === 'relay'), PATIENCE_MS);

    // Who comes later is told how things stand.
    const dave = await open('dave', { relay: 'any' });
    await enter(dave, { video: false });
    await meets(dave, 'alice', 'bob', 'carol');
    assert.deepEqual(await member(dave, 'alice', 'member.remoteMedia'), { muted: true, video: false, held: false });
    for (const page of [alice, bob, carol]) {
      await roomSays(page, 'joined dave');
      await until('dave sends sound alone', async () => !(await member(page, 'dave', 'member.remoteMedia')).video);
    }

    await bob.evaluate(() => window.room.leave());
    for (const page of [alice, carol]) await roomSays(page, 'left bob hangup');
    await roomSays(bob, 'ended hangup');
    assert.equal(await bob.evaluate(() => window.room.localStream.getTracks().every(({ readyState }) => readyState === 'ended')), true, 'the camera is off');
    await Promise.all([meets(alice, 'carol', 'dave'), meets(carol, 'alice', 'dave')]);
    await carol.close();
    await roomSays(alice, 'left carol hangup');
    for (const page of [alice, dave]) await page.evaluate(() => window.box.close());
    assert.equal((await server.call(callId)).reason, 'hangup');
    noComplaints(alice, bob, dave);
  });

  it('go on while the server is away, whether a session resumes or another begins', async () => {
    const way = await wire(new URL(server.http));
    const [alice, bob] = [await open('alice', { server: way.http }), await open('bob')];
    for (const page of [alice, bob]) await enter(page);
    await Promise.all([meets(alice, 'bob'), meets(bob, 'alice')]);
    const connections = () => Promise.all([alice, bob].map((page) => page.evaluate(() => window.peerConnections.length)));
    const lose = async () => {
      way.cut();
      await until('bob knows', async () => !(await member(bob, 'alice', 'member.peerConnected')), PATIENCE_MS);
      await seesAll(alice);
    };
    const back = () => until('alice is back', () => member(bob, 'alice', 'member.peerConnected'));

    await lose();
    way.mend();
    await back();

    // Another session, as if the time to resume were over. Carol comes meanwhile.
    await neverResume(alice);
    const session = await alice.evaluate(() => window.box.sessionId);
    await lose();
    const carol = await open('carol');
    await enter(carol);
    await until('carol meets bob', () => member(carol, 'bob', "member.state === 'connected'"));
    way.mend();
    await back();
    await Promise.all([meets(alice, 'bob', 'carol'), meets(bob, 'alice', 'carol'), meets(carol, 'alice', 'bob')]);
    for (const page of [alice, bob, carol]) await seesAll(page);
    assert.notEqual(await alice.evaluate(() => window.box.sessionId), session);
    assert.deepEqual(await connections(), [2, 2], 'nobody connects twice with the same participant');
    way.close();
  });

  it('are in it again after a restart of the server', async () => {
    const pages = await three();
    const before = await pages[0].evaluate(() => window.room.callId);
    assert.equal(await server.stop(), 0);
    server = await start(new URL(server.http).host);
    for (const page of pages) await until(`${page.user} is in the next room`, () => page.evaluate((old) => window.room.callId !== old, before), PATIENCE_MS);
    const [alice, bob, carol] = pages;
    await Promise.all([meets(alice, 'bob', 'carol'), meets(bob, 'alice', 'carol'), meets(carol, 'alice', 'bob')]);
    for (const page of pages) {
      await seesAll(page);
      assert.ok(!(await page.evaluate(() => window.heard)).some((text) => text.startsWith('ended')));
    }
  });

  it('meet whoever loads the page again as somebody new', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    const first = await enter(alice);
    await enter(bob);
    await Promise.all([meets(alice, 'bob'), meets(bob, 'alice')]);
    // As after a crash: no farewell, and the same name again.
    const crash = await alice.createCDPSession();
    crash.send('Page.crash').catch(() => {});
    await until('bob knows', async () => !(await member(bob, 'alice', 'member.peerConnected')), PATIENCE_MS);
    const again = await open('alice');
    assert.notEqual(await enter(again), first);
    await Promise.all([meets(again, 'bob'), meets(bob, 'alice')]);
    await roomSays(bob, 'left alice connection_lost');
    await seesAll(bob);
    noComplaints(bob, again);
  });
});
