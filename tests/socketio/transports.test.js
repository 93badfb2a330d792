// Tests Socket.IO's transports, and acknowledgements.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SocketIoClient, WebSocketClient } from './clients.js';
import { candidate, sdp } from './flow.js';
import { startServer, until } from './server.js';

let server;
before(async () => { server = await startServer({ name: 'transports' }); });
after(async () => { await server?.stop(); });

const connect = async (name, options) => SocketIoClient.connect(server, name, await server.token(name), options);
const transport = (client) => client.socket.io.engine.transport.name;

describe('transports', () => {
  it('a client upgrades polling to a WebSocket', async () => {
    const alice = await connect('alice');
    await until('the transport is upgraded', () => transport(alice) === 'websocket');
    // The session is the one that polling began.
    const answer = await alice.request('call:initiate', { targetUserId: 'nobody', callType: 'audio' });
    assert.equal(answer.ok, true);
    assert.equal((await alice.next('call:ended')).reason, 'offline');
    await alice.leave();
  });

  it('a client continues polling where no WebSocket is possible', async () => {
    const alice = await connect('alice', { transports: ['polling'] });
    const bob = await connect('bob', { transports: ['websocket'] });
    assert.equal(transport(alice), 'polling');
    assert.equal(transport(bob), 'websocket');
    const { callId } = await alice.request('call:initiate', { targetUserId: 'bob', callType: 'audio' });
    await bob.next('call:incoming');
    assert.equal((await bob.request('call:reject', { callId })).ok, true);
    assert.equal((await alice.next('call:ended')).reason, 'rejected');
    assert.equal(transport(alice), 'polling');
    await alice.leave();
    await bob.leave();
  });

  it('a session ends at once when its client disconnects', async () => {
    const alice = await connect('alice');
    alice.close();
    await until('all connections are closed', async () => (await server.metric('callbox_connections')) === 0);
  });

  it('`auth` may contain a device id', async () => {
    const laptop = await connect('bob', { auth: { deviceId: 'laptop' } });
    const alice = await connect('alice', { auth: { deviceId: 'phone' } });
    await alice.request('call:initiate', { targetUserId: 'bob', callType: 'audio' });
    await laptop.next('call:incoming');
    laptop.emit('call:accept', {});
    assert.equal((await alice.next('call:accepted')).deviceId, 'laptop');
    await alice.leave();
    await laptop.leave();
  });
});

describe('answers', () => {
  for (const [kind, Client] of [['acknowledgements', SocketIoClient], ['frames with `re`', WebSocketClient]]) {
    it(`each request is answered: ${kind}`, async () => {
      const alice = await Client.connect(server, 'alice', await server.token('alice'));
      const bob = await Client.connect(server, 'bob', await server.token('bob'));
      const initiated = await alice.request('call:initiate', { targetUserId: 'bob', callType: 'video' });
      assert.equal(initiated.ok, true);
      assert.equal(initiated.state, 'ringing');
      assert.ok(Date.parse(initiated.expiresAt) > Date.now());
      const { callId, turnCredentials, iceServers } = initiated;
      // The call flow's names, scoped to the call and usable by RTCPeerConnection.
      assert.match(turnCredentials.username, new RegExp(`^\\d+:alice:${callId}$`));
      assert.deepEqual(Object.keys(turnCredentials).sort(), ['password', 'ttl', 'uris', 'username']);
      const turn = iceServers.find(({ username }) => username);
      assert.equal(turn.username, turnCredentials.username);
      assert.equal(turn.credential, turnCredentials.password);
      assert.deepEqual(turn.urls, turnCredentials.uris);

      const incoming = await bob.next('call:incoming');
      assert.match(incoming.turnCredentials.username, new RegExp(`^\\d+:bob:${callId}$`));
      assert.deepEqual(await bob.request('call:ring', { callId }), { ok: true, callId });
      assert.equal((await alice.next('call:ringing')).callId, callId);
      assert.deepEqual(await bob.request('call:accept', { callId }), { ok: true, callId, state: 'connecting' });
      await alice.next('call:accepted');
      assert.deepEqual(await alice.request('signal:offer', { callId, sdp: sdp('offer') }), { ok: true, callId });
      assert.deepEqual(await alice.request('ice:candidate', { callId, candidate: candidate('203.0.113.1') }), { ok: true, callId });
      assert.deepEqual(await bob.request('signal:answer', { callId, sdp: sdp('answer') }), { ok: true, callId });
      assert.deepEqual(await alice.request('call:connected', { callId }), { ok: true, callId, state: 'connected' });
      const ended = await bob.request('call:end', { callId });
      assert.deepEqual({ ...ended, duration: 0 }, { ok: true, callId, state: 'ended', reason: 'hangup', duration: 0 });
      assert.equal((await alice.next('call:ended')).endedBy, 'bob');
      await alice.leave();
      await bob.leave();
    });
  }

  it('the end of candidates is relayed in each of its forms', async () => {
    const alice = await connect('alice');
    const bob = await WebSocketClient.connect(server, 'bob', await server.token('bob'));
    const { callId } = await alice.request('call:initiate', { targetUserId: 'bob', callType: 'audio' });
    await bob.next('call:incoming');
    await bob.request('call:accept', { callId });
    await alice.request('signal:offer', { callId, sdp: sdp('offer') });
    await bob.next('signal:offer');
    for (const last of [null, { candidate: '', sdpMid: '0', sdpMLineIndex: 0 }]) {
      alice.emit('ice:candidate', { callId, candidate: last });
      assert.deepEqual((await bob.next('ice:candidate')).candidate, last);
    }
    await alice.leave();
    await bob.leave();
  });

  it('fields that the call flow does not define are relayed', async () => {
    const alice = await connect('alice');
    const bob = await connect('bob');
    const { callId } = await alice.request('call:initiate', { targetUserId: 'bob', callType: 'audio', metadata: { subject: 'tea' } });
    assert.deepEqual((await bob.next('call:incoming')).metadata, { subject: 'tea' });
    await bob.request('call:accept', { callId });
    alice.emit('signal:offer', { callId, sdp: sdp('offer'), trickle: true });
    assert.equal((await bob.next('signal:offer')).trickle, true);
    await alice.leave();
    await bob.leave();
  });
});
