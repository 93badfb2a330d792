// Tests the ways a call can end, and who is notified, over Socket.IO and WebSocket.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { SocketIoClient, WebSocketClient } from './clients.js';
import { candidate, sdp } from './flow.js';
import { startServer, until } from './server.js';

let server;
before(async () => { server = await startServer({ name: 'outcomes', args: ['--ring-timeout', '1s'] }); });
after(async () => { await server?.stop(); });

const open = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.leave();
  await until('all connections are closed', async () => (await server.metric('callbox_connections')) === 0);
});

for (const [front, Client, withDevice] of [
  ['Socket.IO', SocketIoClient, (deviceId) => ({ auth: { deviceId } })],
  ['WebSocket', WebSocketClient, (deviceId) => ({ hello: { deviceId } })],
]) {
  const connect = async (user, device = 'only') => {
    const client = await Client.connect(server, user, await server.token(user), withDevice(device));
    open.push(client);
    return client;
  };
  const call = async (from, to, callType = 'audio') => {
    const answer = await from.request('call:initiate', { targetUserId: to, callType });
    assert.equal(answer.ok, true, JSON.stringify(answer));
    return answer.callId;
  };

  describe(`a call over ${front}`, () => {
    it('ends when the callee rejects', async () => {
      const [alice, bob] = [await connect('alice'), await connect('bob')];
      const callId = await call(alice, 'bob');
      await bob.next('call:incoming');
      bob.emit('call:reject', { callId });
      const ended = await alice.next('call:ended');
      assert.deepEqual(ended, { callId, reason: 'rejected', endedBy: 'bob', duration: 0 });
    });

    it('ends when the caller cancels', async () => {
      const [alice, bob] = [await connect('alice'), await connect('bob')];
      const callId = await call(alice, 'bob');
      await bob.next('call:incoming');
      alice.emit('call:cancel', { callId });
      assert.deepEqual(await bob.next('call:ended'), { callId, reason: 'cancelled', endedBy: 'alice', duration: 0 });
    });

    it('ends when nobody answers', async () => {
      const [alice, bob] = [await connect('alice'), await connect('bob')];
      await call(alice, 'bob');
      await bob.next('call:incoming');
      for (const client of [alice, bob]) assert.equal((await client.next('call:ended')).reason, 'timeout');
    });

    it('ends when the callee is offline', async () => {
      const alice = await connect('alice');
      await call(alice, 'bob');
      assert.equal((await alice.next('call:ended')).reason, 'offline');
    });

    it('ends when the callee is in another call', async () => {
      const [alice, bob, carol] = [await connect('alice'), await connect('bob'), await connect('carol')];
      const callId = await call(alice, 'bob');
      await bob.next('call:incoming');
      await bob.request('call:accept', { callId });
      await call(carol, 'bob');
      assert.equal((await carol.next('call:ended')).reason, 'busy');
      assert.equal(bob.has('call:incoming'), false, 'bob receives no call');
      assert.equal((await server.call(callId)).state, 'connecting');
    });

    it('continues on the device that accepts first, without events to the others', async () => {
      const alice = await connect('alice');
      const [phone, laptop, tablet] = [await connect('bob', 'phone'), await connect('bob', 'laptop'), await connect('bob', 'tablet')];
      const callId = await call(alice, 'bob');
      for (const device of [phone, laptop, tablet]) await device.next('call:incoming');
      alice.emit('ice:candidate', { callId, candidate: candidate('203.0.113.9') });
      const answers = await Promise.all([laptop, phone].map((device) => device.request('call:accept', { callId })));
      assert.equal(answers.filter(({ ok }) => ok).length, 1, JSON.stringify(answers));
      const [winner, loser] = answers[0].ok ? [laptop, phone] : [phone, laptop];
      assert.equal(answers.find(({ ok }) => !ok).error.code, 'invalid_state');
      for (const device of [loser, tablet]) assert.equal((await device.next('call:ended')).reason, 'answered_elsewhere');
      alice.emit('signal:offer', { callId, sdp: sdp('offer') });
      await winner.next('signal:offer');
      await winner.next('ice:candidate');
      for (const device of [loser, tablet]) {
        assert.equal(device.has('signal:offer') || device.has('ice:candidate'), false, `${device.name} received events of the other device`);
      }
    });

    it('ends when one of several devices rejects', async () => {
      const alice = await connect('alice');
      const [phone, laptop] = [await connect('bob', 'phone'), await connect('bob', 'laptop')];
      const callId = await call(alice, 'bob');
      for (const device of [phone, laptop]) await device.next('call:incoming');
      await phone.request('call:reject', { callId });
      assert.equal((await laptop.next('call:ended')).reason, 'rejected_elsewhere');
      assert.equal((await alice.next('call:ended')).reason, 'rejected');
    });

    it('accepts nothing from a user outside the call', async () => {
      const [alice, bob, mallory] = [await connect('alice'), await connect('bob'), await connect('mallory')];
      const callId = await call(alice, 'bob');
      await bob.next('call:incoming');
      await bob.request('call:accept', { callId });
      for (const [event, data] of [
        ['ice:candidate', { candidate: candidate('203.0.113.66') }],
        ['signal:offer', { sdp: sdp('mine') }],
        ['signal:answer', { sdp: sdp('mine') }],
        ['call:accept', {}],
        ['call:reject', {}],
        ['call:cancel', {}],
        ['call:end', {}],
        ['call:connected', {}],
      ]) {
        const { ok, error } = await mallory.request(event, { callId, ...data });
        assert.equal(ok, false, event);
        assert.equal(error.code, 'not_a_participant', event);
      }
      assert.equal((await server.call(callId)).state, 'connecting');
      // Alice and bob receive none of it, and continue.
      alice.emit('signal:offer', { callId, sdp: sdp('offer') });
      assert.equal((await bob.next('signal:offer')).sdp, sdp('offer'));
    });

    it('ends when a client disconnects on purpose', async () => {
      const [alice, bob] = [await connect('alice'), await connect('bob')];
      const callId = await call(alice, 'bob');
      await bob.next('call:incoming');
      await bob.request('call:accept', { callId });
      bob.close();
      const { reason, endedBy } = await alice.next('call:ended');
      assert.deepEqual([reason, endedBy], ['left', 'bob']);
      assert.equal(alice.has('call:reconnecting'), false, 'the server does not wait for a return');
    });

    it('continues after a lost connection', async () => {
      const [alice, bob] = [await connect('alice'), await connect('bob', 'phone')];
      const callId = await call(alice, 'bob');
      await bob.next('call:incoming');
      await bob.request('call:accept', { callId });
      bob.dropConnection();
      assert.equal((await alice.next('call:reconnecting')).callId, callId);
      const again = await connect('bob', 'phone');
      assert.equal((await alice.next('call:reconnected')).callId, callId);
      alice.emit('signal:offer', { callId, sdp: sdp('offer') });
      await again.next('signal:offer');
      again.emit('call:end', { callId });
      assert.equal((await alice.next('call:ended')).reason, 'hangup');
    });
  });
}
