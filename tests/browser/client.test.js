// @callbox/client in an application of another origin: what the demo page does not show of it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, afterEach, before, describe, it } from 'node:test';
import { everybodyLeaves, launch, neverResume, noComplaints, startServer, until, videoAdvances, wire } from './browser.js';
import { startSite } from './site.js';

/** The application. `said` has what the call has said so far. */
const application = (origin) => `
import { connect } from '${origin}/callbox.js';

const query = new URLSearchParams(location.search);
window.follow = (call) => {
  window.call = call;
  window.said = [];
  for (const event of ['state', 'ended', 'media', 'message', 'upgraded', 'peer']) call.on(event, (detail) => said.push([event, detail]));
  call.on('stream', (stream) => { video.srcObject = stream; });
  return call;
};
window.tokens = [];
window.box = await connect(query.get('server') ?? '${origin}', {
  token: ({ fresh }) => query.get('token').split(' ')[tokens.push(fresh) - 1],
  deviceId: query.get('device') ?? undefined,
});
box.on('incoming', (call) => {
  follow(call);
  if (query.get('answer') !== 'no') call.accept();
});
document.body.dataset.ready = '';
`;

let server;
let browser;
let site;
before(async () => {
  server = await startServer({ name: 'client', directory: import.meta.dirname });
  browser = await launch();
  site = await startSite(application(new URL(server.http).origin));
});
after(async () => {
  await browser?.close();
  site?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
});
afterEach(() => everybodyLeaves(browser, server));

async function open(user, query = {}) {
  const page = await site.open(browser, { token: await server.token(user), ...query });
  page.user = user;
  await page.waitForSelector('body[data-ready]');
  return page;
}

const state = (page, wanted) => until(`${page.user} is ${wanted}`, () => page.evaluate((state) => window.call?.state === state, wanted), 20_000);

/** A call, connected; gives its id. */
async function connect(caller, callee, options = {}) {
  await caller.evaluate(([user, given]) => window.box.call(user, given).then(window.follow), [callee.user, options]);
  for (const page of [caller, callee]) await state(page, 'connected');
  return caller.evaluate(() => window.call.id);
}

const hears = (page, event, wanted) => until(`${page.user} hears ${event}`, () => page.evaluate(
  ([name, detail]) => window.said.some(([said, what]) => said === name && JSON.stringify(what).includes(detail)),
  [event, JSON.stringify(wanted).replace(/^{|}$/g, '')],
));

const ufrag = (page) => page.evaluate(() => window.call.pc.localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]);

describe('in a call', () => {
  it('what a side sends, says and measures reaches the other and the record', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    const id = await connect(alice, bob, { video: true });
    await alice.evaluate(() => window.call.mute());
    await hears(bob, 'media', { muted: true, video: true, held: false });
    await alice.evaluate(() => window.call.hold());
    await hears(bob, 'media', { muted: true, video: true, held: true });
    assert.deepEqual(await alice.evaluate(() => window.call.pc.getSenders().map(({ track }) => track)), [null, null], 'on hold nothing is sent');
    await alice.evaluate(() => { window.call.hold(false); window.call.mute(false); });
    await hears(bob, 'media', { muted: false, video: true, held: false });
    await bob.evaluate(() => window.call.send({ hand: 'raised' }));
    await hears(alice, 'message', { hand: 'raised' });
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

  it('sound becomes pictures if the other side agrees, and sound again', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob);
    assert.equal(await alice.evaluate(() => window.call.upgrade('video')), false, 'nobody was there to agree');
    await bob.evaluate(() => window.call.on('upgrade', (request) => request.accept()));
    assert.equal(await alice.evaluate(() => window.call.upgrade('video')), true);
    for (const page of [alice, bob]) {
      await hears(page, 'upgraded', { type: 'video', accepted: true });
      await videoAdvances(page);
      await until('it is shown', () => page.evaluate(() => document.querySelector('video').videoWidth > 0));
    }
    assert.equal(await alice.evaluate(() => window.call.upgrade('audio')), true);
    for (const page of [alice, bob]) {
      await until(`${page.user} sends sound alone`, () => page.evaluate(() => window.call.pc.signalingState === 'stable'
        && window.call.pc.getSenders().every(({ track }) => track?.kind !== 'video')));
    }
    // And both at the same time, which is one yes for the other.
    assert.deepEqual(await Promise.all([alice, bob].map((page) => page.evaluate(() => window.call.upgrade('video')))), [true, true]);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      assert.equal(await page.evaluate(() => window.call.pc.getTransceivers().length), 2, 'descriptions do not grow');
    }
    // Whoever is impatient asks once, all the same.
    const twice = await alice.evaluate(() => Promise.all([window.call.upgrade('audio'), window.call.upgrade('audio')]));
    assert.deepEqual(twice, [true, true]);
    noComplaints(alice, bob);
  });

  it('another device of the same user takes it over', async () => {
    const alice = await open('alice');
    const phone = await open('bob', { device: 'phone' });
    const id = await connect(alice, phone, { video: true });
    const tablet = await open('bob', { device: 'tablet' });
    assert.equal(await phone.evaluate(() => window.call.transfer('tablet')), true);
    assert.equal(await tablet.evaluate(() => window.call.transferFrom), 'phone');
    await hears(phone, 'ended', { reason: 'answered_elsewhere' });
    for (const page of [alice, tablet]) {
      await state(page, 'connected');
      await videoAdvances(page);
    }
    assert.equal((await server.call(id)).participants[1].deviceId, 'tablet');
    // Back, which is refused there: the call stays where it is.
    await phone.evaluate(() => window.box.on('incoming', (call) => call.hangUp()));
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

  it('a change of the network makes the path anew', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob, { video: true });
    const before = await ufrag(alice);
    await alice.evaluate(() => window.dispatchEvent(new Event('online')));
    await until('the path is another one', async () => (await ufrag(alice)) !== before
      && alice.evaluate(() => window.call.pc.signalingState === 'stable' && window.call.pc.connectionState === 'connected'));
    for (const page of [alice, bob]) await videoAdvances(page);
    noComplaints(alice, bob);
  });

  it('a path that breaks is repaired, and the server knows meanwhile', async () => {
    assert.equal(process.env.NETWORK_OF_ITS_OWN, 'yes', 'this drops UDP: run it with ./in-own-network');
    const nft = (...args) => execFileSync('nft', args, { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
    const [alice, bob] = [await open('alice'), await open('bob')];
    const id = await connect(alice, bob, { video: true });
    const before = await ufrag(alice);
    nft('add table inet cut');
    try {
      nft('add chain inet cut output { type filter hook output priority 0; }');
      nft('add rule inet cut output meta l4proto udp drop');
      for (const page of [alice, bob]) await state(page, 'reconnecting');
      await until('the server knows', async () => (await server.call(id)).state === 'reconnecting');
      await until('another path is looked for', async () => (await ufrag(alice)) !== before);
    } finally {
      nft('delete table inet cut');
    }
    for (const page of [alice, bob]) {
      await state(page, 'connected');
      await videoAdvances(page);
    }
    assert.equal((await server.call(id)).state, 'connected');
  });
});

it('a page that comes back with a new session hears what was decided meanwhile', async () => {
  const way = await wire(new URL(server.http));
  // Each attempt takes one.
  const tokens = Array(20).fill(await server.token('alice')).join(' ');
  const [alice, bob] = [await open('alice', { server: way.http, token: tokens }), await open('bob')];
  const id = await connect(alice, bob);
  await neverResume(alice);
  // Bob says yes while alice is away, and hears of it; she does not.
  await bob.evaluate(() => window.call.on('upgrade', (request) => { window.request = request; }));
  const upgraded = alice.evaluate(() => window.call.upgrade('video'));
  await until('bob is asked', () => bob.evaluate(() => window.request));
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

for (const [first, second] of [['video', 'video'], ['video', 'audio'], ['audio', 'video']]) {
  it(`two who call each other in the same moment are in one call: ${first} and ${second}`, async () => {
    const [alice, bob] = [await open('alice', { answer: 'no' }), await open('bob', { answer: 'no' })];
    const call = (page, user, video) => page.evaluate(([other, options]) => window.box.call(other, options).then(window.follow).then(({ id }) => id), [user, { video }]);
    const ids = await Promise.all([call(alice, 'bob', first === 'video'), call(bob, 'alice', second === 'video')]);
    assert.equal(ids[0], ids[1]);
    const { type } = await server.call(ids[0]);
    for (const page of [alice, bob]) {
      await state(page, 'connected');
      assert.equal(await page.evaluate(() => window.call.type), type, 'all agree on what it carries');
      if (first === second) await videoAdvances(page);
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
  const [copy] = await Promise.all([alice.context().waitForEvent('page'), alice.evaluate(() => void window.open(location.href))]);
  await copy.waitForSelector('body[data-ready]');
  assert.notEqual(await copy.evaluate(() => window.box.deviceId), first);
  await alice.reload();
  await alice.waitForSelector('body[data-ready]');
  assert.equal(await name(), first);
  assert.equal(await copy.evaluate(() => window.box.state), 'connected', 'nobody was pushed out');
});

it('whoever takes the place of a device closes the one before for good', async () => {
  const one = await open('alice', { device: 'laptop' });
  const closed = one.evaluate(() => new Promise((resolve) => { window.box.on('state', (now, error) => resolve([now, error.code])); }));
  await open('alice', { device: 'laptop' });
  assert.deepEqual(await closed, ['closed', 'replaced']);
});
