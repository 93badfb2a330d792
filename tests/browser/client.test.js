// @callbox/client in an application of another origin: what the demo page does not show of it.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { everybodyLeaves, launch, noComplaints, startServer, until } from './browser.js';
import { connect, hears, open as openApp, state } from './app/app.js';
import { SMALL, startSite } from './app/site.js';
import { videoAdvances } from './media.js';
import { neverResume, wire } from './network.js';

let server;
let browser;
let site;
before(async () => {
  server = await startServer({ name: 'client', directory: import.meta.dirname });
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
const open = (user, query) => openApp(site, browser, server, user, { module: new URL('/callbox.js', server.http).href, ...query });

describe('in a call', () => {
  it('what a side sends, says and measures reaches the other and the record', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    const id = await connect(alice, bob, { video: true });
    await bob.evaluate(() => window.call.send({ hand: 'raised' }));
    await until('alice hears it', () => alice.evaluate(() => window.said.some(([event, data]) => event === 'message' && data.hand === 'raised')));
    const measured = await until('both have reported', async () => {
      const { participants } = await server.call(id);
      return participants.every(({ stats }) => stats) && participants;
    });
    for (const { stats } of measured) {
      assert.match(stats.path, /^(host|prflx)$/);
      assert.ok(stats.rttMs >= 0 && stats.jitterMs >= 0, JSON.stringify(stats));
    }
    await bob.evaluate(() => window.call.hangUp());
    await hears(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
    noComplaints(alice, bob);
  });

  it('whoever does not listen for an upgrade does not agree, and whoever is impatient asks once', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob);
    assert.equal(await alice.evaluate(() => window.call.upgrade('video')), false, 'nobody was there to agree');
    await bob.evaluate(() => window.call.on('upgrade', (request) => { request.accept(); }) && undefined);
    const twice = await alice.evaluate(() => Promise.all([window.call.upgrade('video'), window.call.upgrade('video')]));
    assert.deepEqual(twice, [true, true]);
    noComplaints(alice, bob);
  });

  it('another device of the same user takes it over, or does not', async () => {
    const alice = await open('alice');
    const phone = await open('bob', { device: 'phone' });
    await connect(alice, phone, { video: true });
    const tablet = await open('bob', { device: 'tablet' });
    assert.equal(await phone.evaluate(() => window.call.transfer('tablet')), true);
    assert.equal(await tablet.evaluate(() => window.call.transferFrom), 'phone');
    await state(tablet, 'connected');
    // Back, which is refused there: the call stays where it is.
    await phone.evaluate(() => { window.box.on('incoming', (call) => call.hangUp()); });
    await phone.close();
    const other = await open('bob', { device: 'other', answer: 'no' });
    const asked = tablet.evaluate(() => window.call.transfer('other'));
    await state(other, 'ringing');
    await other.evaluate(() => window.call.reject());
    assert.equal(await asked, false);
    await videoAdvances(tablet);
    await tablet.evaluate(() => window.call.hangUp());
    await hears(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
    noComplaints(alice, tablet, other);
  });
});

it('a page that comes back with a new session hears what was decided meanwhile', async () => {
  const way = await wire(new URL(server.http));
  const [alice, bob] = [await open('alice', { server: way.http }), await open('bob')];
  const id = await connect(alice, bob);
  await neverResume(alice);
  // Bob says yes while alice is away, and hears of it; she does not.
  await bob.evaluate(() => { window.call.on('upgrade', (request) => { window.request = request; }); });
  const upgraded = alice.evaluate(() => window.call.upgrade('video'));
  await until('bob is asked', () => bob.evaluate(() => Boolean(window.request)));
  way.cut();
  await until('bob knows', () => bob.evaluate(() => !window.call.peerConnected));
  assert.equal(await bob.evaluate(() => window.request.accept()), true);
  assert.equal(await alice.evaluate(() => window.call.type), 'audio');
  way.mend();
  assert.equal(await upgraded, true);
  for (const page of [alice, bob]) await videoAdvances(page);

  // A question that is open stays so, and is not put twice.
  await bob.evaluate(() => { window.asked = 0; window.call.on('upgrade', () => { window.asked += 1; }); });
  const asked = alice.evaluate(() => window.call.upgrade('audio'));
  await until('bob is asked again', () => bob.evaluate(() => window.asked === 1));
  const lose = async () => {
    way.cut();
    await until('bob knows', () => bob.evaluate(() => !window.call.peerConnected));
    way.mend();
    await until('alice is back', () => bob.evaluate(() => window.call.peerConnected));
  };
  await lose();
  await bob.evaluate(() => window.request.reject());
  assert.equal(await asked, false);
  assert.equal(await bob.evaluate(() => window.asked), 1);

  // A transfer that was refused meanwhile is over.
  const tablet = await open('alice', { device: 'tablet', answer: 'no' });
  const moved = alice.evaluate(() => window.call.transfer('tablet'));
  await state(tablet, 'ringing');
  way.cut();
  await until('bob knows', () => bob.evaluate(() => !window.call.peerConnected));
  await tablet.evaluate(() => window.call.reject());
  way.mend();
  assert.equal(await moved, false);
  assert.equal((await server.call(id)).state, 'connected');
  await bob.evaluate(() => window.call.hangUp());
  await hears(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
  way.close();
});

for (const [first, second] of [['video', 'audio'], ['audio', 'video']]) {
  it(`two who call each other in the same moment are in one call: ${first} and ${second}`, async () => {
    const [alice, bob] = [await open('alice', { answer: 'no' }), await open('bob', { answer: 'no' })];
    const call = (page, user, video) => page.evaluate((other, options) => window.box.call(other, options).then(window.follow).then(({ id }) => id), user, { video: video && SMALL });
    const ids = await Promise.all([call(alice, 'bob', first === 'video'), call(bob, 'alice', second === 'video')]);
    assert.equal(ids[0], ids[1]);
    const { type } = await server.call(ids[0]);
    for (const page of [alice, bob]) {
      await state(page, 'connected');
      assert.equal(await page.evaluate(() => window.call.type), type, 'all agree on what it carries');
      assert.equal(await page.evaluate(() => window.box.calls.length), 1);
      if (type === 'audio') assert.deepEqual(await page.evaluate(() => window.call.localStream.getVideoTracks()), [], 'nobody is seen unasked');
    }
    assert.equal(await server.metric('callbox_calls', 'state="connected"'), 1);
    noComplaints(alice, bob);
  });
}

it('a token that is about to expire is renewed in the session', async () => {
  const soon = server.mint({ sub: 'alice', exp: Math.floor(Date.now() / 1000) + 8 });
  const alice = await open('alice', { token: `${soon} ${await server.token('alice')}` });
  await until('a fresh one was asked for', () => alice.evaluate(() => window.tokens.length === 2));
  assert.deepEqual(await alice.evaluate(() => window.tokens), [false, true]);
  // The server takes it: the refusal of another one would have closed nothing yet, but it would say so.
  const refused = alice.evaluate(() => window.box.request('auth:refresh', { token: 'none' }).catch(({ code }) => code));
  assert.equal(await refused, 'unauthorized');
  assert.equal(await alice.evaluate(() => window.sockets.length), 1);
});

it('a tab keeps its name when its page is loaded again, and a copy of it gets another', async () => {
  const alice = await open('alice');
  const name = () => alice.evaluate(() => window.box.deviceId);
  const first = await name();
  const [copy] = await Promise.all([new Promise((opened) => alice.once('popup', opened)), alice.evaluate(() => void window.open(location.href))]);
  await copy.waitForSelector('body[data-ready]');
  assert.notEqual(await copy.evaluate(() => window.box.deviceId), first);
  await alice.reload();
  await alice.waitForSelector('body[data-ready]');
  assert.equal(await name(), first);
  assert.equal(await copy.evaluate(() => window.box.state), 'connected', 'nobody was pushed out');
});

it('a page that is left hangs up, also if the browser keeps it', async () => {
  const [alice, bob] = [await open('alice'), await open('bob')];
  await connect(alice, bob);
  await bob.goto('about:blank');
  await hears(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
  await bob.goBack();
  await bob.waitForSelector('body[data-ready]');
  await connect(alice, bob);
});

it('whoever takes the place of a device closes the one before for good', async () => {
  const one = await open('alice', { device: 'laptop' });
  const closed = one.evaluate(() => new Promise((resolve) => { window.box.on('state', (now, error) => resolve([now, error.code])); }));
  await open('alice', { device: 'laptop' });
  assert.deepEqual(await closed, ['closed', 'replaced']);
});
