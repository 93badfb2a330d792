// Tests that invalid input is refused with a documented code, counted, and does not affect other
// calls.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { io } from 'socket.io-client';
import { SocketIoClient, WebSocketClient } from './clients.js';
import { candidate, sdp } from './flow.js';
import { startServer, until } from './server.js';

const MAX_MESSAGE = 64 * 1024;

let server;
before(async () => { server = await startServer({ name: 'bad-input' }); });
after(async () => { assert.equal(await server?.stop(), 0); });

// A call between two other users continues through each of these tests.
let carol;
let dave;
let bystanders;
const open = [];
beforeEach(async () => {
  carol = await SocketIoClient.connect(server, 'carol', await server.token('carol'));
  dave = await WebSocketClient.connect(server, 'dave', await server.token('dave'));
  bystanders = (await carol.request('call:initiate', { targetUserId: 'dave', callType: 'audio' })).callId;
  await dave.next('call:incoming');
  await dave.request('call:accept', { callId: bystanders });
});
afterEach(async () => {
  carol.emit('signal:offer', { callId: bystanders, sdp: sdp('offer') });
  assert.equal((await dave.next('signal:offer')).sdp, sdp('offer'));
  dave.emit('call:end', { callId: bystanders });
  assert.equal((await carol.next('call:ended')).reason, 'hangup');
  for (const client of [carol, dave, ...open.splice(0)]) await client.leave();
  await until('all connections are closed', async () => (await server.metric('callbox_connections')) === 0);
});

const fronts = { 'Socket.IO': SocketIoClient, WebSocket: WebSocketClient };

for (const [front, Client] of Object.entries(fronts)) {
  const connect = async (user) => {
    const client = await Client.connect(server, user, await server.token(user));
    open.push(client);
    return client;
  };

  describe(`events over ${front}`, () => {
    for (const [what, event, data, code] of [
      ['an unknown event', 'call:levitate', {}, 'unknown_event'],
      ['an event of the server', 'call:ended', {}, 'unknown_event'],
      ['no target', 'call:initiate', { callType: 'audio' }, 'invalid_payload'],
      ['a target that is not a string', 'call:initiate', { targetUserId: 7, callType: 'audio' }, 'invalid_payload'],
      ['an empty target', 'call:initiate', { targetUserId: '', callType: 'audio' }, 'invalid_payload'],
      ['a target with a control character', 'call:initiate', { targetUserId: 'b\nob', callType: 'audio' }, 'invalid_payload'],
      ['an unknown type of call', 'call:initiate', { targetUserId: 'bob', callType: 'hologram' }, 'invalid_payload'],
      ['a call to oneself', 'call:initiate', { targetUserId: 'alice', callType: 'audio' }, 'invalid_target'],
      ['a payload that is a list', 'call:initiate', ['bob', 'audio'], 'invalid_payload'],
      ['a payload that is a string', 'call:initiate', 'bob', 'invalid_payload'],
      ['a payload that is a number', 'call:end', 12, 'invalid_payload'],
      ['an invalid call id', 'call:accept', { callId: 'x' }, 'invalid_payload'],
      ['a call id that is a number', 'call:accept', { callId: 1 }, 'invalid_payload'],
      ['an unknown call id', 'call:accept', { callId: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }, 'call_not_found'],
      ['no call id without a call', 'call:end', {}, 'call_id_required'],
      ['a candidate that is a number', 'ice:candidate', { candidate: 5 }, 'invalid_payload'],
      ['an offer without SDP', 'signal:offer', {}, 'invalid_payload'],
    ]) {
      it(`refuses ${what}`, async () => {
        const alice = await connect('alice');
        const before = await server.metric('callbox_errors_total', `code="${code}"`).catch(() => 0);
        const answer = await alice.request(event, data);
        assert.equal(answer.ok, false, JSON.stringify(answer));
        assert.equal(answer.error.code, code, JSON.stringify(answer));
        assert.ok(answer.error.message.length > 5, 'there is a readable message');
        // Without an id or callback the refusal arrives as an event.
        alice.emit(event, data);
        const refusal = await alice.next('error');
        assert.equal(refusal.error.code, code);
        assert.equal(refusal.event, event);
        assert.equal(await server.metric('callbox_errors_total', `code="${code}"`), before + 2);
      });
    }

    it('refuses events in the wrong state', async () => {
      const [alice, bob] = [await connect('alice'), await connect('bob')];
      const { callId } = await alice.request('call:initiate', { targetUserId: 'bob', callType: 'audio' });
      const refused = async (client, event, data, code) => {
        const { error } = await client.request(event, { callId, ...data });
        assert.equal(error?.code, code, `${client.name}: ${event}`);
      };
      await bob.next('call:incoming');
      await refused(alice, 'call:accept', {}, 'not_allowed');
      await refused(alice, 'call:connected', {}, 'invalid_state');
      await refused(bob, 'call:cancel', {}, 'not_allowed');
      await refused(bob, 'signal:answer', { sdp: sdp('early') }, 'invalid_state');
      await bob.request('call:accept', { callId });
      await refused(bob, 'call:accept', {}, 'invalid_state');
      await refused(bob, 'call:reject', {}, 'invalid_state');
      await refused(alice, 'call:cancel', {}, 'invalid_state');
      await alice.request('call:end', { callId });
      await bob.next('call:ended');
      await refused(bob, 'call:end', {}, 'call_ended');
      await refused(alice, 'signal:offer', { sdp: sdp('late') }, 'call_ended');
    });

    it('refuses a message that is too large', async () => {
      const alice = await connect('alice');
      const large = { targetUserId: 'bob', callType: 'audio', metadata: { text: 'x'.repeat(MAX_MESSAGE) } };
      if (front === 'WebSocket') {
        alice.write({ event: 'call:initiate', id: 900, data: large });
        const { code, reason } = await alice.closed();
        assert.equal(code, 1009);
        assert.match(reason, /payload_too_large|too large|65536/i);
      } else {
        // The message is refused and the connection stays open.
        assert.equal((await alice.request('call:initiate', large)).error.code, 'payload_too_large');
        alice.emit('call:initiate', large);
        const refusal = await alice.next('error');
        assert.deepEqual([refusal.event, refusal.error.code], ['call:initiate', 'payload_too_large']);
        assert.equal((await alice.request('call:end', {})).error.code, 'call_id_required');
        // A message far above the limit closes the connection.
        alice.emit('call:initiate', { text: 'x'.repeat(5 * MAX_MESSAGE) });
        await alice.closed();
      }
    });

    it('refuses events that exceed the rate limit', async () => {
      const alice = await connect('alice');
      // On a slow machine the allowance grows by fifty per second meanwhile.
      const answers = await Promise.all(Array.from({ length: 500 }, () => alice.request('call:end', {})));
      const codes = new Set(answers.map(({ error }) => error.code));
      assert.deepEqual([...codes].sort(), ['call_id_required', 'rate_limited']);
      const limited = answers.find(({ error }) => error.code === 'rate_limited');
      assert.ok(limited.error.retryAfterMs > 0, JSON.stringify(limited));
    });
  });
}

describe('tokens', () => {
  const second = Math.floor(Date.now() / 1000);
  const cases = () => ({
    'no token': [undefined, 'unauthorized'],
    'an empty token': ['', 'unauthorized'],
    'an invalid token': ['let me in', 'unauthorized'],
    'a token of another secret': [server.mint({ sub: 'alice', exp: second + 600 }, 'another secret, as long as the true one is'), 'unauthorized'],
    'a token without a user': [server.mint({ exp: second + 600 }), 'unauthorized'],
    'a token without an expiry': [server.mint({ sub: 'alice' }), 'unauthorized'],
    'an expired token': [server.mint({ sub: 'alice', exp: second - 60 }), 'token_expired'],
    'an unsigned token': [`${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ sub: 'alice', exp: second + 600 })).toString('base64url')}.`, 'unauthorized'],
  });
  const names = ['no token', 'an empty token', 'an invalid token', 'a token of another secret', 'a token without a user', 'a token without an expiry', 'an expired token', 'an unsigned token'];

  for (const name of names) {
    it(`refuses ${name} over Socket.IO`, async () => {
      const [token, code] = cases()[name];
      const socket = io(server.socketIo, { auth: token === undefined ? {} : { token }, reconnection: false, forceNew: true });
      const error = await new Promise((resolve, reject) => {
        socket.once('connect_error', resolve);
        socket.once('session:welcome', () => reject(new Error('the token was accepted')));
      });
      socket.disconnect();
      // A code for programs, then text for a person.
      assert.match(error.message, new RegExp(`^${code}: .{8}`));
    });

    it(`refuses ${name} over WebSocket`, async () => {
      const [token, code] = cases()[name];
      const client = await WebSocketClient.open(server, 'stranger');
      open.push(client);
      client.write({ event: 'session:hello', id: 1, data: { token, protocol: 1 } });
      const { ok, error } = await client.next('answer:1');
      assert.equal(ok, false);
      assert.equal(error.code, code, JSON.stringify(error));
      await client.closed();
    });
  }

  it('accepts a token of the application\'s own back end', async () => {
    const token = server.mint({ sub: 'erin', name: 'Erin', exp: second + 600 });
    for (const Client of Object.values(fronts)) {
      const client = await Client.connect(server, 'erin', token);
      assert.equal(client.welcome.userId, 'erin');
      client.close();
    }
  });
});

describe('frames over WebSocket', () => {
  const connect = async () => {
    const client = await WebSocketClient.connect(server, 'alice', await server.token('alice'));
    open.push(client);
    return client;
  };

  for (const [what, frame] of [
    ['text that is not JSON', 'hello there'],
    ['a truncated frame', '{"event":"call:end","id":1'],
    ['a list', '[1,2,3]'],
    ['a frame without an event', '{"id":1,"data":{}}'],
    ['an event that is a number', '{"event":5,"id":1}'],
    ['an id that is a string', '{"event":"call:end","id":"one","data":{}}'],
    ['a binary message', Buffer.from([0, 255, 1, 254])],
    ['deep nesting', `{"event":"call:end","data":${'['.repeat(5000)}${']'.repeat(5000)}}`],
  ]) {
    it(`refuses ${what}`, async () => {
      const alice = await connect();
      alice.write(frame);
      // The sender gets an error, as an answer if the id was readable. The connection then stays
      // open or is closed with a reason.
      const answers = ['error', 'answer:1'].map((name) => alice.next(name).catch(() => null));
      const first = await Promise.race([...answers, alice.closed()]);
      assert.ok(first, 'the sender gets an error');
      if (first.error) {
        assert.equal(first.error.code, 'invalid_frame', JSON.stringify(first));
        assert.equal((await alice.request('call:end', {})).error.code, 'call_id_required');
      } else {
        assert.ok(first.code > 1000, JSON.stringify(first));
      }
    });
  }

  it('refuses an event before the hello', async () => {
    const client = await WebSocketClient.open(server, 'stranger');
    open.push(client);
    client.write({ event: 'call:initiate', id: 1, data: { targetUserId: 'carol', callType: 'audio' } });
    const { code } = await client.closed();
    assert.ok(code >= 1002, String(code));
    assert.equal(carol.has('call:incoming'), false);
  });

  it('closes a connection without a hello', { timeout: 15_000 }, async () => {
    const client = await WebSocketClient.open(server, 'stranger');
    open.push(client);
    const { code } = await client.closed();
    assert.ok(code > 1000, String(code));
  });

  it('refuses a second hello', async () => {
    const alice = await connect();
    const answer = await alice.request('session:hello', { token: await server.token('mallory'), protocol: 1 });
    assert.equal(answer.ok, false);
    const { callId } = await alice.request('call:initiate', { targetUserId: 'bob', callType: 'audio' });
    assert.equal((await server.call(callId)).participants[0].userId, 'alice');
  });
});

it('does not relay a candidate of a user outside the call', async () => {
  const alice = await WebSocketClient.connect(server, 'alice', await server.token('alice'));
  open.push(alice);
  const { error } = await alice.request('ice:candidate', { callId: bystanders, candidate: candidate('203.0.113.66') });
  assert.equal(error.code, 'not_a_participant');
  assert.equal(carol.has('ice:candidate') || dave.has('ice:candidate'), false);
});
