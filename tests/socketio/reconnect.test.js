// Tests a plain Socket.IO client without a device id that loses its connection in a call and
// reconnects.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import io2 from 'socket.io-client-2';
import io3 from 'socket.io-client-3';
import { io as io45 } from 'socket.io-client-4.5';
import { io } from 'socket.io-client';
import { SocketIoClient } from './clients.js';
import { candidate, sdp } from './flow.js';
import { startServer, until } from './server.js';

let server;
before(async () => { server = await startServer({ name: 'reconnect', args: ['--max-calls-per-user', '2'] }); });
after(async () => { assert.equal(await server?.stop(), 0); });

const open = [];
afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await until('all connections are closed', async () => (await server.metric('callbox_connections')) === 0);
});

/** Connects as in the README, with a URL and a token; the library reconnects by itself. */
const connect = async (user, { token, ...options } = {}) => {
  token ??= await server.token(user);
  const header = { extraHeaders: { authorization: `Bearer ${token}` } };
  const client = await SocketIoClient.connect(server, user, token, {
    reconnection: true,
    reconnectionDelay: 100,
    ...(options.library === io2 ? { transportOptions: { polling: header, websocket: header } } : {}),
    ...options,
  });
  open.push(client);
  return client;
};

const call = async (from, to) => {
  const answer = await from.request('call:initiate', { targetUserId: to.name, callType: 'audio' });
  assert.equal(answer.ok, true, JSON.stringify(answer));
  await to.next('call:incoming');
  assert.equal((await to.request('call:accept', { callId: answer.callId })).ok, true);
  await from.next('call:accepted');
  return answer.callId;
};

for (const [version, library] of [['4.8', io], ['4.5', io45], ['3.1', io3], ['2.5', io2]]) {
  describe(`socket.io-client ${version}`, () => {
    for (const transports of [['polling', 'websocket'], ['polling'], ['websocket']]) {
      it(`resumes its call when its connection over ${transports.join(' and ')} is lost`, async () => {
        const [alice, bob] = [await connect('alice', { library, transports }), await connect('bob')];
        const callId = await call(alice, bob);
        alice.dropConnection();
        assert.equal((await bob.next('call:reconnecting')).callId, callId);
        assert.equal((await bob.next('call:reconnected')).callId, callId);
        const again = await alice.next('session:welcome');
        assert.equal(again.deviceId, alice.welcome.deviceId);
        assert.notEqual(again.sessionId, alice.welcome.sessionId);
        assert.equal((await alice.next('call:sync')).callId, callId);
        // Relays both ways, and can be ended.
        bob.emit('signal:offer', { callId, sdp: sdp('offer') });
        assert.equal((await alice.next('signal:offer')).sdp, sdp('offer'));
        alice.emit('ice:candidate', { callId, candidate: candidate('203.0.113.5') });
        alice.emit('signal:answer', { callId, sdp: sdp('answer') });
        await bob.next('signal:answer');
        assert.equal((await alice.request('call:end', { callId })).reason, 'hangup');
        assert.equal((await bob.next('call:ended')).reason, 'hangup');
      });
    }
  });
}

it('two tabs with the same token resume their own calls when both are cut off', async () => {
  const token = await server.token('alice');
  const tabs = [await connect('alice', { token }), await connect('alice', { token })];
  const others = [await connect('bob'), await connect('carol')];
  const calls = [await call(tabs[0], others[0]), await call(tabs[1], others[1])];
  assert.notEqual(tabs[0].welcome.deviceId, tabs[1].welcome.deviceId);
  for (const tab of tabs) tab.dropConnection();
  for (const n of [0, 1]) {
    const again = await tabs[n].next('session:welcome');
    assert.equal(again.deviceId, tabs[n].welcome.deviceId);
    assert.equal((await tabs[n].next('call:sync')).callId, calls[n]);
    assert.equal(tabs[n].socket.recovered, false, 'Socket.IO connection state recovery is not used');
    assert.equal((await others[n].next('call:reconnected')).callId, calls[n]);
    await tabs[n].request('call:end', { callId: calls[n] });
  }
});

it('a client that disconnects on purpose ends its call at once', async () => {
  const [alice, bob] = [await connect('alice'), await connect('bob')];
  const callId = await call(alice, bob);
  alice.socket.disconnect();
  const { reason, endedBy } = await bob.next('call:ended');
  assert.deepEqual([reason, endedBy, bob.has('call:reconnecting')], ['left', 'alice', false]);
  assert.equal((await server.call(callId)).reason, 'left');
});

it('a client that disconnects on purpose over polling ends its call at once', async () => {
  const [alice, bob] = [await connect('alice', { transports: ['polling'] }), await connect('bob')];
  await call(alice, bob);
  alice.socket.disconnect();
  assert.equal((await bob.next('call:ended')).reason, 'left');
});

it('a client that crashed can call again at once', async () => {
  const bobs = [await connect('bob'), await connect('carol'), await connect('dave')];
  const token = await server.token('alice');
  const crashed = await connect('alice', { token, reconnection: false });
  for (const other of bobs.slice(0, 2)) await call(crashed, other);
  const full = await crashed.request('call:initiate', { targetUserId: 'dave', callType: 'audio' });
  assert.equal(full.error?.code, 'too_many_calls');
  crashed.dropConnection();
  await bobs[0].next('call:reconnecting');
  // The same token means the same device, but the new client knows nothing of its calls.
  const back = await connect('alice', { token });
  await call(back, bobs[2]);
  assert.equal((await bobs[0].next('call:ended')).reason, 'left');
  back.dropConnection();
  await bobs[2].next('call:reconnecting');
  await bobs[2].next('call:reconnected');
});
