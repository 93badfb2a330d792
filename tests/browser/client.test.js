// Tests @callbox/client in an application of another origin, as far as the demo page does not use
// it.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { closeAllPages, launch, assertNoErrors, startServer, until } from './browser.js';
import { connect, waitForEvent, open as openApp, waitForState } from './app/app.js';
import { SMALL, startSite } from './app/site.js';
import { videoAdvances } from './media.js';
import { forceNewSession, startProxy } from './network.js';

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
afterEach(() => closeAllPages(browser, server));

/** Opens the application with the client that the server serves. */
const open = (user, query) => openApp(site, browser, server, user, { module: new URL('/callbox.js', server.http).href, ...query });

describe('in a call', () => {
  it('messages, media state and statistics reach the other side and the call record', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    const id = await connect(alice, bob, { video: true });
    await bob.evaluate(() => window.call.send({ hand: 'raised' }));
    await until('alice receives it', () => alice.evaluate(() => window.said.some(([event, data]) => event === 'message' && data.hand === 'raised')));
    const measured = await until('both have reported', async () => {
      const { participants } = await server.call(id);
      return participants.every(({ stats }) => stats) && participants;
    });
    for (const { stats } of measured) {
      assert.match(stats.path, /^(host|prflx)$/);
      assert.ok(stats.rttMs >= 0 && stats.jitterMs >= 0, JSON.stringify(stats));
    }
    await bob.evaluate(() => window.call.hangUp());
    await waitForEvent(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
    assertNoErrors(alice, bob);
  });

  it('an upgrade without a handler is rejected, and a repeated upgrade sends one request', async () => {
    const [alice, bob] = [await open('alice'), await open('bob')];
    await connect(alice, bob);
    assert.equal(await alice.evaluate(() => window.call.upgrade('video')), false, 'there is no handler');
    await bob.evaluate(() => window.call.on('upgrade', (request) => { request.accept(); }) && undefined);
    const twice = await alice.evaluate(() => Promise.all([window.call.upgrade('video'), window.call.upgrade('video')]));
    assert.deepEqual(twice, [true, true]);
    assertNoErrors(alice, bob);
  });

  it('another device of the same user accepts or rejects a transfer', async () => {
    const alice = await open('alice');
    const phone = await open('bob', { device: 'phone' });
    await connect(alice, phone, { video: true });
    const tablet = await open('bob', { device: 'tablet' });
    assert.equal(await phone.evaluate(() => window.call.transfer('tablet')), true);
    assert.equal(await tablet.evaluate(() => window.call.transferFrom), 'phone');
    await waitForState(tablet, 'connected');
    // A transfer back, which is rejected: the call stays on its device.
    await phone.evaluate(() => { window.box.on('incoming', (call) => call.hangUp()); });
    await phone.close();
    const other = await open('bob', { device: 'other', answer: 'no' });
    const asked = tablet.evaluate(() => window.call.transfer('other'));
    await waitForState(other, 'ringing');
    await other.evaluate(() => window.call.reject());
    assert.equal(await asked, false);
    await videoAdvances(tablet);
    await tablet.evaluate(() => window.call.hangUp());
    await waitForEvent(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
    assertNoErrors(alice, tablet, other);
  });
});

it('a page with a new session applies the decisions it missed', async () => {
  const proxy = await startProxy(new URL(server.http));
  const [alice, bob] = [await open('alice', { server: proxy.http }), await open('bob')];
  const id = await connect(alice, bob);
  await forceNewSession(alice);
  // Bob agrees while alice is disconnected; he receives the result and she does not.
  await bob.evaluate(() => { window.call.on('upgrade', (request) => { window.request = request; }); });
  const upgraded = alice.evaluate(() => window.call.upgrade('video'));
  await until('bob is asked', () => bob.evaluate(() => Boolean(window.request)));
  proxy.cut();
  await until('bob is notified', () => bob.evaluate(() => !window.call.peerConnected));
  assert.equal(await bob.evaluate(() => window.request.accept()), true);
  assert.equal(await alice.evaluate(() => window.call.type), 'audio');
  proxy.restore();
  assert.equal(await upgraded, true);
  for (const page of [alice, bob]) await videoAdvances(page);

  // A pending request stays pending and is not emitted twice.
  await bob.evaluate(() => { window.asked = 0; window.call.on('upgrade', () => { window.asked += 1; }); });
  const asked = alice.evaluate(() => window.call.upgrade('audio'));
  await until('bob is asked again', () => bob.evaluate(() => window.asked === 1));
  const disconnect = async () => {
    proxy.cut();
    await until('bob is notified', () => bob.evaluate(() => !window.call.peerConnected));
    proxy.restore();
    await until('alice is back', () => bob.evaluate(() => window.call.peerConnected));
  };
  await disconnect();
  await bob.evaluate(() => window.request.reject());
  assert.equal(await asked, false);
  assert.equal(await bob.evaluate(() => window.asked), 1);

  // A transfer that was rejected meanwhile ends.
  const tablet = await open('alice', { device: 'tablet', answer: 'no' });
  const moved = alice.evaluate(() => window.call.transfer('tablet'));
  await waitForState(tablet, 'ringing');
  proxy.cut();
  await until('bob is notified', () => bob.evaluate(() => !window.call.peerConnected));
  await tablet.evaluate(() => window.call.reject());
  proxy.restore();
  assert.equal(await moved, false);
  assert.equal((await server.call(id)).state, 'connected');
  await bob.evaluate(() => window.call.hangUp());
  await waitForEvent(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
  proxy.close();
});

for (const [first, second] of [['video', 'audio'], ['audio', 'video']]) {
  it(`two simultaneous calls to each other become one call: ${first} and ${second}`, async () => {
    const [alice, bob] = [await open('alice', { answer: 'no' }), await open('bob', { answer: 'no' })];
    const call = (page, user, video) => page.evaluate((other, options) => window.box.call(other, options).then(window.follow).then(({ id }) => id), user, { video: video && SMALL });
    const ids = await Promise.all([call(alice, 'bob', first === 'video'), call(bob, 'alice', second === 'video')]);
    assert.equal(ids[0], ids[1]);
    const { type } = await server.call(ids[0]);
    for (const page of [alice, bob]) {
      await waitForState(page, 'connected');
      assert.equal(await page.evaluate(() => window.call.type), type, 'all have the same type');
      assert.equal(await page.evaluate(() => window.box.calls.length), 1);
      if (type === 'audio') assert.deepEqual(await page.evaluate(() => window.call.localStream.getVideoTracks()), [], 'no video without consent');
    }
    assert.equal(await server.metric('callbox_calls', 'state="connected"'), 1);
    assertNoErrors(alice, bob);
  });
}

it('a token that is about to expire is renewed in the session', async () => {
  const soon = server.mint({ sub: 'alice', exp: Math.floor(Date.now() / 1000) + 8 });
  const alice = await open('alice', { token: `${soon} ${await server.token('alice')}` });
  await until('a fresh token was requested', () => alice.evaluate(() => window.tokens.length === 2));
  assert.deepEqual(await alice.evaluate(() => window.tokens), [false, true]);
  // The server has accepted the new token, since it would answer an invalid one with this error.
  const refused = alice.evaluate(() => window.box.request('auth:refresh', { token: 'none' }).catch(({ code }) => code));
  assert.equal(await refused, 'unauthorized');
  assert.equal(await alice.evaluate(() => window.sockets.length), 1);
});

it('a reloaded tab has the same device id and a duplicated tab gets another one', async () => {
  const alice = await open('alice');
  const name = () => alice.evaluate(() => window.box.deviceId);
  const first = await name();
  const [copy] = await Promise.all([new Promise((opened) => alice.once('popup', opened)), alice.evaluate(() => void window.open(location.href))]);
  await copy.waitForSelector('body[data-ready]');
  assert.notEqual(await copy.evaluate(() => window.box.deviceId), first);
  await alice.reload();
  await alice.waitForSelector('body[data-ready]');
  assert.equal(await name(), first);
  assert.equal(await copy.evaluate(() => window.box.state), 'connected', 'its session was not replaced');
});

it('a page that is navigated away hangs up, also in the back-forward cache', async () => {
  const [alice, bob] = [await open('alice'), await open('bob')];
  await connect(alice, bob);
  await bob.goto('about:blank');
  await waitForEvent(alice, 'ended', { reason: 'hangup', endedBy: 'bob' });
  await bob.goBack();
  await bob.waitForSelector('body[data-ready]');
  await connect(alice, bob);
});

it('a second connection of a device closes the first one for good', async () => {
  const one = await open('alice', { device: 'laptop' });
  const closed = one.evaluate(() => new Promise((resolve) => { window.box.on('state', (now, error) => resolve([now, error.code])); }));
  await open('alice', { device: 'laptop' });
  assert.deepEqual(await closed, ['closed', 'replaced']);
});
