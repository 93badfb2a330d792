// Tests the client's connection against a fake server: resume, repeated requests, acknowledgements,
// tokens. tests/browser tests the client against the real server.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { connected, connection, forgetSockets, settle, stream, welcomed } from './fake-server.js';
import { CallboxError, connect } from '../../clients/js/callbox.js';

beforeEach(() => {
  forgetSockets();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
});
afterEach(() => mock.timers.reset());

/** Passes the longest delay of the first reconnect. */
const nextAttempt = () => mock.timers.tick(400);

describe('the first connection', () => {
  it('sends a hello and resolves to the box', async () => {
    const { box, socket } = await connected();
    assert.equal(socket.url, 'wss://callbox.example/ws');
    assert.deepEqual(socket.last('session:hello').data, { token: 'a token', protocol: 1, deviceId: 'laptop' });
    assert.deepEqual([box.state, box.userId, box.sessionId], ['connected', 'alice', 's1']);
    box.close();
    assert.deepEqual([box.state, socket.closed], ['closed', 1000], 'the close code ends the session');
  });

  for (const [given, url] of [
    ['http://127.0.0.1:8080/?as=alice#x', 'ws://127.0.0.1:8080/ws'],
    ['https://example.com/callbox/', 'wss://example.com/callbox/ws'],
    ['wss://example.com/ws', 'wss://example.com/ws'],
    ['https://example.com/news', 'wss://example.com/news/ws'],
  ]) {
    it(`to ${given} uses ${url}`, async () => {
      const pending = connect(given, { token: 'a token' });
      const socket = await connection();
      assert.equal(socket.url, url);
      socket.end();
      await assert.rejects(pending);
    });
  }

  it('rejects and does not retry when the token is refused', async () => {
    const pending = connect('https://callbox.example', { token: 'not a token' });
    const socket = await connection();
    socket.onopen();
    socket.deliver({ re: socket.last('session:hello').id, data: { ok: false, error: { code: 'unauthorized', message: 'No.' } } });
    socket.end(4401, 'unauthorized: This token is not valid here.');
    await assert.rejects(pending, (error) => error instanceof CallboxError && error.code === 'unauthorized' && error.message === 'This token is not valid here.');
    mock.timers.tick(60_000);
    assert.equal(await connection(), undefined, 'it does not reconnect');
  });
});

describe('a lost connection', () => {
  it('resumes its session', async () => {
    const { box, socket } = await connected();
    const states = [];
    box.on('state', (state) => states.push(state));
    for (const seq of [1, 2, 3]) socket.deliver({ event: 'presence:changed', seq, data: {} });
    socket.end();
    nextAttempt();
    const next = await welcomed({ resumed: true });
    assert.deepEqual(next.last('session:hello').data.resume, { sessionId: 's1', seq: 3 });
    assert.deepEqual(states, ['reconnecting', 'connected']);
    box.close();
  });

  it('sends the block list to a new session, but not to a resumed one', async () => {
    const { box, socket } = await connected();
    const done = async (pending, at) => {
      await settle();
      at.answer(at.last('user:block'), {});
      await pending;
    };
    await done(box.block('mallory'), socket);
    await done(box.block('trudy'), socket);
    await done(box.unblock('trudy'), socket);
    assert.deepEqual(socket.last('user:block').data.blocked, false);
    const refused = assert.rejects(box.block(''), { code: 'invalid_payload' });
    await settle();
    const error = { code: 'invalid_payload', message: 'userId: the user id is empty' };
    socket.deliver({ re: socket.last('user:block').id, data: { ok: false, error } });
    await refused;
    socket.end();
    nextAttempt();
    const next = await welcomed({ resumed: true });
    assert.equal(next.last('user:block'), undefined);
    next.end();
    nextAttempt();
    const other = await welcomed({ sessionId: 's2' });
    const blocks = other.sent.filter(({ event }) => event === 'user:block');
    assert.deepEqual(blocks.map(({ data }) => data.userId), ['mallory']);
    box.close();
  });

  it('counts events from zero in a new session', async () => {
    const { box, socket } = await connected();
    for (const seq of [1, 2, 3]) socket.deliver({ event: 'presence:changed', seq, data: {} });
    socket.end();
    nextAttempt();
    const other = await welcomed({ sessionId: 's2' });
    other.end();
    nextAttempt();
    const third = await welcomed({ sessionId: 's2', resumed: true });
    assert.deepEqual(third.last('session:hello').data.resume, { sessionId: 's2', seq: 0 });
    box.close();
  });

  it('repeats unanswered requests with the same msgId and in the same order', async () => {
    const { box, socket } = await connected();
    const first = box.request('call:message', { data: 1 });
    const second = box.request('call:message', { data: 2 });
    socket.answer(socket.sent[1]);
    await first;
    socket.end();
    const third = box.request('call:message', { data: 3 });
    nextAttempt();
    const next = await welcomed({ resumed: true });
    const repeated = next.sent.filter(({ event }) => event === 'call:message');
    assert.deepEqual(repeated.map(({ data }) => data.data), [2, 3]);
    assert.equal(repeated[0].data.msgId, socket.sent[2].data.msgId);
    assert.notEqual(repeated[0].data.msgId, repeated[1].data.msgId);
    for (const request of repeated) next.answer(request, { said: request.data.data });
    assert.deepEqual([(await second).said, (await third).said], [2, 3]);
    box.close();
  });

  it('fails requests that wait too long', async () => {
    const { box, socket } = await connected();
    socket.end();
    const pending = box.request('call:message', { data: 1 });
    const refused = assert.rejects(pending, { code: 'connection_lost' });
    mock.timers.tick(10_000);
    await refused;
    box.close();
  });

  it('backs off, and waits as long as a draining server asked for', async () => {
    const { box, socket } = await connected();
    socket.deliver({ event: 'server:draining', seq: 1, data: { reconnectAfterMs: 7_000 } });
    socket.end(1001, 'server_shutdown: The server stops.');
    mock.timers.tick(6_999);
    assert.equal(await connection(), undefined);
    mock.timers.tick(1);
    (await connection()).end();
    // The second wait is between 400 and 800 ms.
    mock.timers.tick(399);
    assert.equal(await connection(), undefined);
    mock.timers.tick(401);
    assert.ok(await connection());
    box.close();
  });

  it('is detected by silence after a request', async () => {
    const { box, socket } = await connected();
    const pending = box.request('call:message', { data: 1 });
    mock.timers.tick(4_999);
    assert.equal(box.state, 'connected');
    mock.timers.tick(1);
    assert.deepEqual([box.state, socket.closed], ['reconnecting', 4000], 'the close code keeps the session');
    nextAttempt();
    const next = await welcomed({ resumed: true });
    next.answer(next.last('call:message'));
    await pending;
    mock.timers.tick(60_000);
    assert.equal(box.state, 'connected', 'there is no timeout without a pending request');
    box.close();
  });
});

it('a patient request is repeated after a rate_limited answer', async () => {
  const { box, socket } = await connected();
  const pending = box.request('ice:candidate', { candidate: null }, { patient: true });
  const busy = { code: 'rate_limited', message: 'You send too many events.', retryAfterMs: 20 };
  socket.deliver({ re: socket.last('ice:candidate').id, data: { ok: false, error: busy } });
  assert.equal(socket.sent.length, 2);
  mock.timers.tick(20);
  assert.equal(socket.sent.length, 3);
  assert.deepEqual(socket.sent[2], socket.sent[1]);
  socket.answer(socket.sent[2]);
  await pending;
  box.close();
});

describe('events', () => {
  const acks = (socket) => socket.sent.filter((frame) => 'ack' in frame).map(({ ack }) => ack);

  it('are acknowledged together after a second', async () => {
    const { box, socket } = await connected();
    for (const seq of [1, 2, 3]) socket.deliver({ event: 'presence:changed', seq, data: {} });
    assert.deepEqual(acks(socket), []);
    mock.timers.tick(1_000);
    assert.deepEqual(acks(socket), [3]);
    mock.timers.tick(10_000);
    assert.deepEqual(acks(socket), [3], 'acknowledged once only');
    box.close();
  });

  it('are acknowledged sooner if there are many', async () => {
    const { box, socket } = await connected();
    for (let seq = 1; seq <= 100; seq++) socket.deliver({ event: 'presence:changed', seq, data: {} });
    assert.deepEqual(acks(socket), [32, 64, 96]);
    box.close();
  });

  it('reach handlers until these are removed, also when another handler throws', async () => {
    const { box, socket } = await connected();
    const calls = [];
    globalThis.reportError = (error) => calls.push(error.message);
    const off = box.on('call:message', () => { off(); throw new Error('mine'); });
    box.on('call:message', ({ data }) => calls.push(data));
    socket.deliver({ event: 'call:message', seq: 1, data: { data: 'hello' } });
    socket.deliver({ event: 'call:message', seq: 2, data: { data: 'again' } });
    assert.deepEqual(calls, ['mine', 'hello', 'again']);
    delete globalThis.reportError;
    box.close();
  });
});

describe('a token', () => {
  it('is renewed in the session when it is about to expire', async () => {
    const wanted = [];
    const token = async ({ fresh }) => `token ${wanted.push(fresh)}`;
    const { box, socket } = await connected({ token });
    assert.equal(socket.last('session:hello').data.token, 'token 1');
    socket.deliver({ event: 'auth:expiring', seq: 1, data: { expiresAt: '2026-03-01T12:15:00.000Z' } });
    await settle();
    assert.equal(socket.last('auth:refresh').data.token, 'token 2');
    assert.deepEqual(wanted, [false, true]);
    box.close();
  });

  it('is requested again when it is refused later', async () => {
    const wanted = [];
    const { box, socket } = await connected({ token: ({ fresh }) => `token ${wanted.push(fresh)}` });
    socket.end(4401, 'token_expired: Your token has expired.');
    nextAttempt();
    await welcomed();
    assert.deepEqual(wanted, [false, true]);
    box.close();
  });

  it('is not renewed if it is a string', async () => {
    const { box, socket } = await connected();
    const end = new Promise((resolve) => { box.on('state', (state, error) => resolve([state, error?.code])); });
    socket.end(4401, 'token_expired: Your token has expired.');
    assert.deepEqual(await end, ['closed', 'token_expired']);
    await assert.rejects(box.request('ice:refresh'), { code: 'closed' });
  });
});

it('reconnects while the server cannot verify the token, also if it is a string', async () => {
  const { box, socket } = await connected();
  socket.end(1001, 'server_shutdown: The server stops.');
  nextAttempt();
  for (const longest of [800, 1_600]) {
    (await connection()).end(4503, 'issuer_unavailable: The keys of the issuer cannot be had.');
    assert.equal(box.state, 'reconnecting');
    mock.timers.tick(longest / 2 - 1);
    assert.equal(await connection(), undefined, 'there is a delay');
    mock.timers.tick(longest / 2 + 1);
  }
  const next = await welcomed({ resumed: true });
  assert.deepEqual([next.last('session:hello').data.token, box.state], ['a token', 'connected']);
  box.close();
});

it('a first connection fails while the server cannot verify the token', async () => {
  const pending = connect('https://callbox.example', { token: 'a token' });
  (await connection()).end(4503, 'issuer_unavailable: The keys of the issuer cannot be had.');
  await assert.rejects(pending, { code: 'issuer_unavailable' });
});

for (const [code, word] of [[4409, 'replaced'], [4410, 'kicked'], [4403, 'origin_not_allowed']]) {
  it(`does not reconnect after a close with ${word}`, async () => {
    const { box, socket } = await connected();
    const end = new Promise((resolve) => { box.on('state', (state, error) => resolve([state, error?.code])); });
    socket.end(code, `${word}: Words.`);
    assert.deepEqual(await end, ['closed', word]);
    mock.timers.tick(60_000);
    assert.equal(await connection(), undefined);
  });
}

it('a request that is not JSON fails at once and does not affect later ones', async () => {
  const { box, socket } = await connected();
  const round = {};
  round.round = round;
  await assert.rejects(box.request('call:message', { data: round }), TypeError);
  socket.end();
  nextAttempt();
  const next = await welcomed({ resumed: true });
  const pending = box.request('ice:refresh');
  next.answer(next.last('ice:refresh'));
  await pending;
  box.close();
});

it('a request that is too long for the server fails once and other requests are repeated', async () => {
  const { box, socket } = await connected();
  const short = box.request('call:message', { data: 'short' });
  const long = box.request('call:message', { data: 'x'.repeat(70_000) });
  const refused = assert.rejects(long, { code: 'payload_too_large', message: 'It is too long.' });
  socket.end(1009, 'payload_too_large: It is too long.');
  await refused;
  nextAttempt();
  const next = await welcomed({ resumed: true });
  assert.deepEqual(next.sent.slice(1).map(({ data }) => data.data), ['short']);
  next.answer(next.last('call:message'));
  await short;
  box.close();
});

/** The part of RTCPeerConnection that a call uses before it has media. */
globalThis.RTCPeerConnection = class {
  getTransceivers = () => [];
  getReceivers = () => [];
  addTransceiver() {}
  close() {}
};

describe('a call request without an answer', () => {
  /** Sends the request, then drops the connection for longer than the answer's time limit. */
  async function unanswered(box, socket, event, pending) {
    await settle();
    assert.ok(socket.last(event));
    const failed = assert.rejects(pending, { code: 'connection_lost' });
    socket.end();
    mock.timers.tick(10_000);
    await failed;
    assert.deepEqual(box.calls, []);
  }

  it('ends the call when the answer arrives late', async () => {
    const { box, socket } = await connected();
    await unanswered(box, socket, 'call:initiate', box.call('bob', { stream }));
    const next = await welcomed({ resumed: true });
    assert.equal(next.last('call:initiate').data.msgId, socket.last('call:initiate').data.msgId);
    next.answer(next.last('call:initiate'), { callId: 'c1', state: 'ringing', callType: 'audio', iceServers: [] });
    assert.equal(next.last('call:end').data.callId, 'c1');
    box.close();
  });

  it('is not repeated in a new session, which announces the call', async () => {
    const { box, socket } = await connected();
    await unanswered(box, socket, 'call:initiate', box.call('bob', { stream }));
    const next = await welcomed({ sessionId: 's2' });
    assert.equal(next.last('call:initiate'), undefined);
    next.deliver({ event: 'call:sync', seq: 1, data: { callId: 'c1', call: { type: 'audio', participants: [] }, candidates: [] } });
    assert.equal(next.last('call:end').data.callId, 'c1');
    box.close();
  });

  it('is dropped if it was never sent', async () => {
    const { box, socket } = await connected();
    socket.end();
    const failed = assert.rejects(box.call('bob', { stream }), { code: 'connection_lost' });
    await settle();
    mock.timers.tick(10_000);
    await failed;
    const next = await welcomed({ resumed: true });
    assert.equal(next.last('call:initiate'), undefined);
    box.close();
  });

  it('ends a call that was accepted here', async () => {
    const { box, socket } = await connected();
    const accepted = new Promise((resolve) => { box.on('incoming', (call) => resolve([call.accept({ stream })])); });
    socket.deliver({ event: 'call:incoming', seq: 1, data: { callId: 'c1', callerId: 'bob', callType: 'audio', iceServers: [] } });
    await unanswered(box, socket, 'call:accept', (await accepted)[0]);
    const next = await welcomed({ resumed: true });
    assert.equal(next.last('call:end').data.callId, 'c1');
    box.close();
  });
});

describe('a lost answer', () => {
  /** Waits until the request is sent, drops the connection and reconnects at once. */
  async function reconnectAfter(socket, event, session) {
    await settle();
    assert.ok(socket.last(event));
    socket.end();
    nextAttempt();
    return welcomed(session);
  }
  const initiated = { callId: 'c1', state: 'ringing', callType: 'audio', iceServers: [] };
  const record = (state) => ({ state, type: 'audio', participants: [{ userId: 'bob', deviceId: 'phone' }] });

  it('is handled before the events of the call that followed it', async () => {
    const { box, socket } = await connected();
    const pending = box.call('bob', { stream });
    const next = await reconnectAfter(socket, 'call:initiate', { resumed: true });
    next.deliver({ event: 'call:ended', seq: 1, data: { callId: 'c1', reason: 'rejected', endedBy: 'bob', duration: 0 } });
    next.answer(next.last('call:initiate'), initiated);
    const call = await pending;
    await settle();
    assert.deepEqual([call.state, box.calls], ['ended', []]);
    box.close();
  });

  it('is handled before a new session\'s snapshot of the call', async () => {
    const { box, socket } = await connected();
    const pending = box.call('bob', { stream });
    const next = await reconnectAfter(socket, 'call:initiate', { sessionId: 's2' });
    next.deliver({ event: 'call:state', seq: 1, data: { call: record('ringing'), callId: 'c1' } });
    next.deliver({ event: 'call:sync', seq: 2, data: { call: record('ringing'), callId: 'c1', candidates: [] } });
    next.answer(next.last('call:initiate'), initiated);
    const call = await pending;
    await settle();
    assert.equal(call.state, 'ringing');
    assert.equal(next.last('call:end'), undefined, 'the call belongs to this client');
    box.close();
  });

  it('of a transfer is handled before the transfer\'s outcome', async () => {
    for (const [outcome, taken] of [
      [{ event: 'call:transferred', data: { callId: 'c1', userId: 'alice', deviceId: 'tablet', accepted: false } }, false],
      [{ event: 'call:ended', data: { callId: 'c1', reason: 'answered_elsewhere', endedBy: null, duration: 1 } }, true],
    ]) {
      const { box, socket } = await connected();
      const pending = box.call('bob', { stream });
      await settle();
      socket.answer(socket.last('call:initiate'), initiated);
      const moved = (await pending).transfer('tablet');
      const next = await reconnectAfter(socket, 'call:transfer', { resumed: true });
      next.deliver({ seq: 1, ...outcome });
      next.answer(next.last('call:transfer'), {});
      assert.equal(await moved, taken);
      box.close();
    }
  });

  it('does not let a call ring in a box that was closed meanwhile', async () => {
    const { box, socket } = await connected();
    const refused = assert.rejects(box.request('presence:subscribe', { userIds: [] }), { code: 'closed' });
    const next = await reconnectAfter(socket, 'presence:subscribe', { resumed: true });
    box.on('incoming', () => assert.fail('it rings'));
    next.deliver({ event: 'call:incoming', seq: 1, data: { callId: 'c1', callerId: 'bob', callType: 'audio', iceServers: [] } });
    box.close();
    await refused;
    await settle();
    assert.deepEqual(box.calls, []);
  });

  it('delays events no longer than the request\'s time limit', async () => {
    const { box, socket } = await connected();
    const refused = assert.rejects(box.request('presence:subscribe', { userIds: [] }), { code: 'connection_lost' });
    const next = await reconnectAfter(socket, 'presence:subscribe', { resumed: true });
    const received = [];
    box.on('presence:changed', ({ userId }) => received.push(userId));
    next.deliver({ event: 'presence:changed', seq: 1, data: { userId: 'bob' } });
    assert.deepEqual(received, []);
    mock.timers.tick(10_000);
    await refused;
    await settle();
    assert.deepEqual(received, ['bob']);
    box.close();
  });
});

it('a call unknown to the page is ended, also after a reconnect', async () => {
  const { box, socket } = await connected();
  socket.deliver({ event: 'call:sync', seq: 1, data: { callId: 'c9', call: { type: 'audio', participants: [] }, candidates: [] } });
  assert.ok(socket.last('call:end'));
  socket.end();
  mock.timers.tick(15_000);
  const next = await welcomed({ resumed: true });
  assert.equal(next.last('call:end').data.callId, 'c9');
  box.close();
});

it('a call that is hung up before the server answers is ended on the server', async () => {
  const { box, socket } = await connected();
  const call = box.createCall('bob', { stream });
  const started = call.start();
  await settle();
  call.hangUp();
  socket.answer(socket.last('call:initiate'), { callId: 'c1', state: 'ringing', callType: 'audio', iceServers: [] });
  await started;
  assert.equal(socket.last('call:end').data.callId, 'c1');
  assert.deepEqual(box.calls, []);
  box.close();
});

it('accept resolves without an error when another device was faster', async () => {
  const { box, socket } = await connected();
  const accepted = new Promise((resolve) => { box.on('incoming', (call) => resolve({ call, done: call.accept({ stream }) })); });
  socket.deliver({ event: 'call:incoming', seq: 1, data: { callId: 'c1', callerId: 'bob', callType: 'audio', iceServers: [] } });
  const { call, done } = await accepted;
  await settle();
  socket.deliver({ event: 'call:ended', seq: 2, data: { callId: 'c1', reason: 'answered_elsewhere', endedBy: null, duration: 0 } });
  socket.deliver({ re: socket.last('call:accept').id, data: { ok: false, error: { code: 'invalid_state', message: 'Another of your devices has answered the call.' } } });
  await done;
  assert.equal(call.state, 'ended');
  box.close();
});

describe('a ringing call', () => {
  const incoming = { callId: 'c1', callerId: 'bob', callerName: 'Bob', callType: 'audio', expiresAt: '', iceServers: [], turnCredentials: null };

  it('is announced once, although a new session repeats it', async () => {
    const { box, socket } = await connected();
    const calls = [];
    box.on('incoming', (call) => calls.push(call));
    socket.deliver({ event: 'call:incoming', seq: 1, data: incoming });
    assert.equal(socket.last('call:ring').data.callId, 'c1');
    socket.end();
    nextAttempt();
    const next = await welcomed({ sessionId: 's2' });
    next.deliver({ event: 'call:incoming', seq: 1, data: incoming });
    assert.deepEqual(calls.map(({ id, peer, peerName, type, state }) => [id, peer, peerName, type, state]), [['c1', 'bob', 'Bob', 'audio', 'ringing']]);
    box.close();
  });

  it('ends when a new session does not know it', async () => {
    const { box, socket } = await connected();
    const over = new Promise((resolve) => { box.on('incoming', (call) => call.on('ended', resolve)); });
    socket.deliver({ event: 'call:incoming', seq: 1, data: incoming });
    socket.end();
    nextAttempt();
    const next = await welcomed({ sessionId: 's2' });
    next.deliver({ re: next.sent.findLast(({ event }) => event === 'call:ring').id, data: { ok: false, error: { code: 'call_ended', message: 'It is over.' } } });
    const end = await over;
    assert.deepEqual([end.reason, end.error.code], ['connection_lost', 'call_ended']);
    assert.deepEqual(box.calls, []);
    box.close();
  });

  it('is rejected as busy when the user is in another call', async () => {
    const { box, socket } = await connected();
    const ringing = new Promise((resolve) => { box.on('incoming', resolve); });
    socket.deliver({ event: 'call:incoming', seq: 1, data: incoming });
    const taken = assert.rejects((await ringing).accept({ stream }), { code: 'too_many_calls' });
    await settle();
    const error = { code: 'too_many_calls', message: 'You are in as many calls as you may be in.' };
    socket.deliver({ re: socket.last('call:accept').id, data: { ok: false, error } });
    await taken;
    assert.deepEqual([socket.last('call:reject').data.callId, socket.last('call:reject').data.reason], ['c1', 'busy']);
    assert.deepEqual(box.calls, []);
    box.close();
  });

  it('is not reported as ringing without a handler', async () => {
    const { box, socket } = await connected();
    socket.deliver({ event: 'call:incoming', seq: 1, data: incoming });
    assert.equal(socket.last('call:ring'), undefined);
    box.close();
    assert.equal(socket.last('call:reject'), undefined, 'another device may take it');
  });
});
