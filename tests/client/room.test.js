// A room's course where it is the order of frames that matters. The server's part is played by the test;
// tests/browser has rooms with the real one, and with media.

import assert from 'node:assert/strict';
import { beforeEach, describe, it, mock } from 'node:test';
import { connected, forget, settle, stream, welcomed } from './fake-server.js';

beforeEach(() => {
  forget();
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
});

const room = (participantId, callId = 'c1') => ({ callId, roomId: 'r', callType: 'audio', participantId, participants: [], iceServers: [] });

/** A box that has asked to come into the room. */
async function joining() {
  const { box, socket } = await connected();
  const joined = box.join('r', { stream });
  await settle();
  return { box, socket, joined };
}

const asked = (socket) => socket.sent.map(({ event }) => event).filter((event) => event?.startsWith('room:'));

/** The connection is lost, and there is another one. */
async function another(socket, session) {
  socket.end();
  mock.timers.tick(400);
  return welcomed(session);
}

describe('whoever joins', () => {
  it('is not put out by the end of an earlier stay', async () => {
    const { box, socket, joined } = await joining();
    // The answer was lost with the connection, and comes again.
    const next = await another(socket, { resumed: true });
    next.tell({ event: 'call:ended', seq: 1, data: { callId: 'c0', roomId: 'r', reason: 'connection_lost', endedBy: null, duration: 0 } });
    next.answer(next.last('room:join'), room('p1'));
    const it = await joined;
    assert.deepEqual([it.over, it.participantId, box.rooms.length], [false, 'p1', 1]);
    box.close();
  });

  it('and leaves before there is an answer, does not stay', async () => {
    const { box, socket, joined } = await joining();
    box.rooms[0].leave();
    assert.deepEqual(asked(socket), ['room:join', 'room:leave']);
    // And back, for which another room is made.
    const again = box.join('r', { stream });
    await settle();
    for (const request of socket.sent.filter(({ event }) => event === 'room:join')) socket.answer(request, room(`p${request.id}`));
    socket.answer(socket.last('room:leave'), {});
    assert.equal((await joined).over, true);
    assert.equal((await again).over, false);
    assert.deepEqual(asked(socket), ['room:join', 'room:leave', 'room:join']);
    assert.deepEqual(box.rooms, [await again]);
    box.close();
  });

  it('and was somebody in it before the page was loaded, becomes another', async () => {
    const { box, socket, joined } = await joining();
    socket.tell({ event: 'room:sync', seq: 1, data: { ...room('old'), relayed: [] } });
    socket.answer(socket.last('room:join'), room('old'));
    await settle();
    socket.answer(socket.last('room:leave'), {});
    await settle();
    assert.deepEqual(asked(socket), ['room:join', 'room:leave', 'room:join']);
    socket.answer(socket.last('room:join'), room('new'));
    assert.equal((await joined).participantId, 'new');
    box.close();
  });

  it('is that other as well if the server says so while the camera opens', async () => {
    let open;
    globalThis.navigator = { mediaDevices: { getUserMedia: () => new Promise((resolve) => { open = resolve; }) } };
    const { box, socket } = await connected();
    const joined = box.join('r');
    const bob = { participantId: 'b', userId: 'bob', deviceId: 'phone', connected: true };
    socket.tell({ event: 'room:sync', seq: 1, data: { ...room('old'), participants: [bob], relayed: [] } });
    open(stream);
    await settle();
    socket.answer(socket.last('room:join'), room('old'));
    await settle();
    assert.deepEqual(asked(socket), ['room:join', 'room:leave']);
    socket.answer(socket.last('room:leave'), {});
    await settle();
    socket.answer(socket.last('room:join'), room('new'));
    assert.equal((await joined).participantId, 'new');
    box.close();
    delete globalThis.navigator;
  });

  it('is told if the room has ended before the answer came', async () => {
    const { box, socket, joined } = await joining();
    const next = await another(socket, { resumed: true });
    next.tell({ event: 'call:ended', seq: 1, data: { callId: 'c1', roomId: 'r', reason: 'kicked', endedBy: null, duration: 0 } });
    next.answer(next.last('room:join'), room('p1'));
    const it = await joined;
    await settle();
    assert.deepEqual([it.over, box.rooms], [true, []]);
    box.close();
  });

  it('with settings that the browser does not take, does not stay', async () => {
    const { box, socket } = await connected();
    globalThis.RTCPeerConnection = class { constructor() { throw new SyntaxError('no server'); } };
    const refused = assert.rejects(box.join('r', { stream }), SyntaxError);
    await settle();
    const bob = { participantId: 'b', userId: 'bob', deviceId: 'phone', connected: true };
    socket.answer(socket.last('room:join'), { ...room('p1'), participants: [bob] });
    await refused;
    assert.deepEqual(asked(socket), ['room:join', 'room:leave']);
    box.close();
    delete globalThis.RTCPeerConnection;
  });

  it('and is refused, is told so', async () => {
    const { box, socket, joined } = await joining();
    socket.tell({ re: socket.last('room:join').id, data: { ok: false, error: { code: 'room_full', message: 'Eight are there.' } } });
    await assert.rejects(joined, { code: 'room_full' });
    assert.deepEqual(box.rooms, []);
    box.close();
  });

  it('twice, is told so', async () => {
    const { box, socket, joined } = await joining();
    socket.answer(socket.last('room:join'), room('p1'));
    await joined;
    await assert.rejects(box.join('r', { stream }), { code: 'invalid_state' });
    box.close();
  });
});

describe('whoever is in a room', () => {
  async function inIt() {
    const { box, socket, joined } = await joining();
    socket.answer(socket.last('room:join'), room('p1'));
    const ended = [];
    const it = await joined;
    it.on('ended', ({ reason, error }) => ended.push(error?.code ?? reason));
    return { box, socket, it, ended };
  }

  it('stays when the session goes on', async () => {
    const { box, socket } = await inIt();
    const next = await another(socket, { resumed: true });
    assert.deepEqual(asked(next), []);
    box.close();
    assert.deepEqual(asked(next), ['room:leave']);
  });

  it('joins again when the server was another one', async () => {
    const { box, socket, it, ended } = await inIt();
    socket.tell({ event: 'call:ended', seq: 1, data: { callId: 'c1', roomId: 'r', reason: 'server_shutdown', endedBy: null, duration: 1 } });
    const next = await another(socket, { sessionId: 's2' });
    next.answer(next.last('room:join'), room('p7', 'c2'));
    await settle();
    assert.deepEqual([it.participantId, it.callId, ended], ['p7', 'c2', []]);
    box.close();
  });

  it('is not misled by what a session before was told', async () => {
    const { box, socket, it } = await inIt();
    const next = await another(socket, { sessionId: 's2' });
    next.tell({ event: 'room:sync', seq: 1, data: { ...room('p1'), participants: [{ participantId: 'b', userId: 'bob', deviceId: 'x', connected: true }], relayed: [] } });
    const third = await another(next, { sessionId: 's3' });
    third.answer(third.last('room:join'), room('p9', 'c2'));
    await settle();
    assert.deepEqual([it.participantId, it.members], ['p9', []]);
    box.close();
  });

  it('hears why that was refused', async () => {
    const { socket, box, ended } = await inIt();
    const next = await another(socket, { sessionId: 's2' });
    next.tell({ re: next.last('room:join').id, data: { ok: false, error: { code: 'not_allowed', message: 'No.' } } });
    await settle();
    assert.deepEqual([ended, box.rooms], [['not_allowed'], []]);
    box.close();
  });

  it('is out when an operator ends it, or the server is lost for good', async () => {
    for (const end of [
      ({ socket }) => socket.tell({ event: 'call:ended', seq: 1, data: { callId: 'c1', roomId: 'r', reason: 'kicked', endedBy: null, duration: 1 } }),
      ({ socket }) => socket.end(4410, 'kicked: By an operator.'),
    ]) {
      const all = await inIt();
      end(all);
      assert.deepEqual([all.ended, all.box.rooms], [['kicked'], []]);
      all.box.close();
      forget();
    }
  });
});
