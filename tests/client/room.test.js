// Tests the order of a room's messages against a fake server. tests/browser tests rooms with the
// real server and media.

import assert from 'node:assert/strict';
import { beforeEach, describe, it, mock } from 'node:test';
import { connected, forgetSockets, settle, stream, welcomed } from './fake-server.js';

beforeEach(() => {
  forgetSockets();
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
});

const room = (participantId, callId = 'c1') => ({ callId, roomId: 'r', callType: 'audio', participantId, participants: [], iceServers: [] });

/** Returns a box that has sent `room:join`. */
async function joining() {
  const { box, socket } = await connected();
  const joined = box.join('r', { stream });
  await settle();
  return { box, socket, joined };
}

const roomRequests = (socket) => socket.sent.map(({ event }) => event).filter((event) => event?.startsWith('room:'));

/** Drops the connection and opens another one. */
async function reconnected(socket, session) {
  socket.end();
  mock.timers.tick(400);
  return welcomed(session);
}

describe('joining a room', () => {
  it('ignores the end of an earlier stay', async () => {
    const { box, socket, joined } = await joining();
    // The answer was lost with the connection, and is sent again.
    const next = await reconnected(socket, { resumed: true });
    next.deliver({ event: 'call:ended', seq: 1, data: { callId: 'c0', roomId: 'r', reason: 'connection_lost', endedBy: null, duration: 0 } });
    next.answer(next.last('room:join'), room('p1'));
    const entered = await joined;
    assert.deepEqual([entered.over, entered.participantId, box.rooms.length], [false, 'p1', 1]);
    box.close();
  });

  it('leaves when leave() is called before the answer', async () => {
    const { box, socket, joined } = await joining();
    box.rooms[0].leave();
    assert.deepEqual(roomRequests(socket), ['room:join', 'room:leave']);
    // Joins again, with a new room object.
    const again = box.join('r', { stream });
    await settle();
    for (const request of socket.sent.filter(({ event }) => event === 'room:join')) socket.answer(request, room(`p${request.id}`));
    socket.answer(socket.last('room:leave'), {});
    assert.equal((await joined).over, true);
    assert.equal((await again).over, false);
    assert.deepEqual(roomRequests(socket), ['room:join', 'room:leave', 'room:join']);
    assert.deepEqual(box.rooms, [await again]);
    box.close();
  });

  it('leaves and joins anew when a reloaded page is still a participant', async () => {
    const { box, socket, joined } = await joining();
    socket.deliver({ event: 'room:sync', seq: 1, data: { ...room('old'), relayed: [] } });
    socket.answer(socket.last('room:join'), room('old'));
    await settle();
    socket.answer(socket.last('room:leave'), {});
    await settle();
    assert.deepEqual(roomRequests(socket), ['room:join', 'room:leave', 'room:join']);
    socket.answer(socket.last('room:join'), room('new'));
    assert.equal((await joined).participantId, 'new');
    box.close();
  });

  it('leaves and joins anew also when the snapshot arrives while the camera opens', async () => {
    let open;
    globalThis.navigator = { mediaDevices: { getUserMedia: () => new Promise((resolve) => { open = resolve; }) } };
    const { box, socket } = await connected();
    const joined = box.join('r');
    const bob = { participantId: 'b', userId: 'bob', deviceId: 'phone', connected: true };
    socket.deliver({ event: 'room:sync', seq: 1, data: { ...room('old'), participants: [bob], relayed: [] } });
    open(stream);
    await settle();
    socket.answer(socket.last('room:join'), room('old'));
    await settle();
    assert.deepEqual(roomRequests(socket), ['room:join', 'room:leave']);
    socket.answer(socket.last('room:leave'), {});
    await settle();
    socket.answer(socket.last('room:join'), room('new'));
    assert.equal((await joined).participantId, 'new');
    box.close();
    delete globalThis.navigator;
  });

  it('ends when the room ended before the answer', async () => {
    const { box, socket, joined } = await joining();
    const next = await reconnected(socket, { resumed: true });
    next.deliver({ event: 'call:ended', seq: 1, data: { callId: 'c1', roomId: 'r', reason: 'kicked', endedBy: null, duration: 0 } });
    next.answer(next.last('room:join'), room('p1'));
    const entered = await joined;
    await settle();
    assert.deepEqual([entered.over, box.rooms], [true, []]);
    box.close();
  });

  it('leaves when the browser rejects the configuration', async () => {
    const { box, socket } = await connected();
    globalThis.RTCPeerConnection = class { constructor() { throw new SyntaxError('no server'); } };
    const refused = assert.rejects(box.join('r', { stream }), SyntaxError);
    await settle();
    const bob = { participantId: 'b', userId: 'bob', deviceId: 'phone', connected: true };
    socket.answer(socket.last('room:join'), { ...room('p1'), participants: [bob] });
    await refused;
    assert.deepEqual(roomRequests(socket), ['room:join', 'room:leave']);
    box.close();
    delete globalThis.RTCPeerConnection;
  });

  it('rejects when the server refuses', async () => {
    const { box, socket, joined } = await joining();
    socket.deliver({ re: socket.last('room:join').id, data: { ok: false, error: { code: 'room_full', message: 'Eight are there.' } } });
    await assert.rejects(joined, { code: 'room_full' });
    assert.deepEqual(box.rooms, []);
    box.close();
  });

  it('rejects a second join of the same room', async () => {
    const { box, socket, joined } = await joining();
    socket.answer(socket.last('room:join'), room('p1'));
    await joined;
    await assert.rejects(box.join('r', { stream }), { code: 'invalid_state' });
    box.close();
  });
});

describe('a joined room', () => {
  async function joinedRoom() {
    const { box, socket, joined } = await joining();
    socket.answer(socket.last('room:join'), room('p1'));
    const ended = [];
    const entered = await joined;
    entered.on('ended', ({ reason, error }) => ended.push(error?.code ?? reason));
    return { box, socket, entered, ended };
  }

  it('is kept by a resumed session', async () => {
    const { box, socket } = await joinedRoom();
    const next = await reconnected(socket, { resumed: true });
    assert.deepEqual(roomRequests(next), []);
    box.close();
    assert.deepEqual(roomRequests(next), ['room:leave']);
  });

  it('is joined again on another server', async () => {
    const { box, socket, entered, ended } = await joinedRoom();
    socket.deliver({ event: 'call:ended', seq: 1, data: { callId: 'c1', roomId: 'r', reason: 'server_shutdown', endedBy: null, duration: 1 } });
    const next = await reconnected(socket, { sessionId: 's2' });
    next.answer(next.last('room:join'), room('p7', 'c2'));
    await settle();
    assert.deepEqual([entered.participantId, entered.callId, ended], ['p7', 'c2', []]);
    box.close();
  });

  it('ignores events of a previous session', async () => {
    const { box, socket, entered } = await joinedRoom();
    const next = await reconnected(socket, { sessionId: 's2' });
    next.deliver({ event: 'room:sync', seq: 1, data: { ...room('p1'), participants: [{ participantId: 'b', userId: 'bob', deviceId: 'x', connected: true }], relayed: [] } });
    const third = await reconnected(next, { sessionId: 's3' });
    third.answer(third.last('room:join'), room('p9', 'c2'));
    await settle();
    assert.deepEqual([entered.participantId, entered.members], ['p9', []]);
    box.close();
  });

  it('ends with the error when the second join is refused', async () => {
    const { socket, box, ended } = await joinedRoom();
    const next = await reconnected(socket, { sessionId: 's2' });
    next.deliver({ re: next.last('room:join').id, data: { ok: false, error: { code: 'not_allowed', message: 'No.' } } });
    await settle();
    assert.deepEqual([ended, box.rooms], [['not_allowed'], []]);
    box.close();
  });

  it('ends when an operator ends it or the server closes the connection for good', async () => {
    for (const end of [
      ({ socket }) => socket.deliver({ event: 'call:ended', seq: 1, data: { callId: 'c1', roomId: 'r', reason: 'kicked', endedBy: null, duration: 1 } }),
      ({ socket }) => socket.end(4410, 'kicked: By an operator.'),
    ]) {
      const all = await joinedRoom();
      end(all);
      assert.deepEqual([all.ended, all.box.rooms], [['kicked'], []]);
      all.box.close();
      forgetSockets();
    }
  });
});
