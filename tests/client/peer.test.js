// The client's peer connection when its path is lost: a restart, credentials of the relay, and another
// connection where the browser cannot go on over a failed one. The browser's and the server's parts are
// played by the test; tests/browser has the client with the real ones.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { browser, connections, description, FakePeerConnection } from './fake-peer.js';
import { connected, forget, settle, welcomed } from './fake-server.js';

const FIREFOX = 'mozilla...THIS_IS_SDPARTA';
const CHROMIUM = '-';

let before;
beforeEach(() => {
  forget();
  connections.length = 0;
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  // Nothing has happened in the year 1970.
  mock.timers.tick(1);
  before = [globalThis.RTCPeerConnection, globalThis.MediaStream];
  globalThis.RTCPeerConnection = FakePeerConnection;
});
afterEach(() => {
  [globalThis.RTCPeerConnection, globalThis.MediaStream] = before;
  mock.timers.reset();
});

const microphone = { kind: 'audio', enabled: true, stop() {} };
const stream = { getTracks: () => [microphone], getVideoTracks: () => [] };

/** Lets steps that wait for each other go on. */
const go = async () => { for (let step = 0; step < 20; step += 1) await settle(); };
const latest = () => connections.at(-1);
const certificateIn = (frame) => /^a=fingerprint:sha-256 (\S+)/m.exec(frame?.data.sdp)?.[1];
const tell = async (socket, event, data) => {
  socket.tell({ event, data: { callId: 'c', ...data } });
  await go();
};

/** The server says yes to everything but what a test answers itself. */
function answerAll(socket) {
  const { send } = socket;
  socket.send = (text) => {
    send.call(socket, text);
    const frame = JSON.parse(text);
    if (frame.id && !['call:initiate', 'ice:refresh'].includes(frame.event)) setImmediate(() => socket.answer(frame));
  };
}

/** A call whose other side is described by these words, with a path. */
async function inCall({ asCallee = false, us = FIREFOX, them = CHROMIUM, rtcConfig } = {}) {
  browser.name = us;
  const { box, socket } = await connected({ rtcConfig });
  answerAll(socket);
  let call;
  if (asCallee) {
    box.on('incoming', (it) => { call = it; });
    await tell(socket, 'call:incoming', { callerId: 'bob', callType: 'audio', iceServers: [] });
    const accepted = call.accept({ stream });
    await accepted;
    await tell(socket, 'signal:offer', { sdp: description(them, 'bob-1', 'b1') });
    latest().gathers('complete');
  } else {
    const asked = box.call('bob', { stream });
    await go();
    socket.answer(socket.last('call:initiate'), { callId: 'c', state: 'connecting', callType: 'audio', iceServers: [] });
    call = await asked;
    await go();
    // As it says from then on, until a restart gathers more.
    latest().gathers('complete');
    await go();
    await tell(socket, 'signal:answer', { sdp: description(them, 'bob-1', 'b1') });
  }
  latest().is('connected');
  assert.equal(call.state, 'connected');
  socket.sent.length = 0;
  return { box, socket, call };
}

/** The server gives fresh credentials. */
async function refreshed(socket, urls = 'turn:new') {
  await go();
  socket.answer(socket.last('ice:refresh'), { iceServers: [{ urls }] });
  await go();
}

/** The path fails for good, and another connection is offered. */
async function failsForGood(socket) {
  latest().is('failed');
  mock.timers.tick(1);
  await refreshed(socket);
}

describe('a connection that has failed', () => {
  it('gives way to another one in Firefox, with what was sent and said', async () => {
    const { box, socket, call } = await inCall();
    call.mute();
    call.hold();
    const [first] = connections;
    await failsForGood(socket);
    assert.deepEqual([connections.length, first.connectionState, call.state], [2, 'closed', 'reconnecting']);
    assert.equal(call.pc, latest());
    assert.deepEqual(latest().config.iceServers, [{ urls: 'turn:new' }]);
    assert.deepEqual(latest().getSenders().map(({ track }) => track), [null], 'still on hold');
    assert.equal(certificateIn(socket.last('signal:offer')), 'c2');
    await tell(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-2', 'b2') });
    latest().is('connected');
    assert.deepEqual([call.state, call.muted, call.held], ['connected', true, true]);
    call.hold(false);
    assert.deepEqual(latest().getSenders().map(({ track }) => track), [microphone]);
    box.close();
  });

  it('is not believed when Firefox says that it is connected again', async () => {
    const { box, socket, call } = await inCall();
    const [first] = connections;
    first.is('failed');
    await tell(socket, 'signal:offer', { sdp: description(CHROMIUM, 'bob-1', 'b2') });
    first.is('connected');
    assert.deepEqual([call.state, socket.last('signal:answer')], ['reconnecting', undefined]);
    box.close();
  });

  it('looks for another path in other browsers, which can go on over it', async () => {
    const { box, socket, call } = await inCall({ us: CHROMIUM });
    await failsForGood(socket);
    assert.deepEqual([connections.length, latest().restarts, call.state], [1, 1, 'reconnecting']);
    box.close();
  });

  it('stays where the application has certificates of its own, by which the other side would not know another one', async () => {
    const { box, socket } = await inCall({ rtcConfig: { certificates: [{}] } });
    await failsForGood(socket);
    assert.deepEqual([connections.length, latest().restarts], [1, 1]);
    box.close();
  });

  it('is followed by a third one when the second fails as well, but not at once', async () => {
    const { box, socket } = await inCall();
    await failsForGood(socket);
    await tell(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-2', 'b2') });
    latest().is('failed');
    mock.timers.tick(2_999);
    await go();
    assert.equal(connections.length, 2);
    mock.timers.tick(1);
    await refreshed(socket);
    assert.equal(connections.length, 3);
    box.close();
  });

  it('is lost if nobody answers', async () => {
    const { box, socket, call } = await inCall();
    await failsForGood(socket);
    // One millisecond is over.
    mock.timers.tick(34_998);
    await go();
    assert.equal(call.state, 'reconnecting');
    mock.timers.tick(1);
    await go();
    assert.deepEqual([call.state, socket.last('call:end').data.reason], ['ended', 'connection_lost']);
    box.close();
  });
});

describe('another connection of the other side', () => {
  it('takes another one here', async () => {
    const { box, socket, call } = await inCall({ us: CHROMIUM, them: FIREFOX });
    const [first] = connections;
    await tell(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-2', 'b2') });
    assert.deepEqual([connections.length, first.connectionState, call.state], [2, 'closed', 'reconnecting']);
    assert.deepEqual(latest().getSenders().map(({ track }) => track), [microphone]);
    latest().gathers('complete');
    await go();
    assert.equal(certificateIn(socket.last('signal:answer')), 'c2');
    latest().is('connected');
    assert.equal(call.state, 'connected');
    box.close();
  });

  it('does so also for the side that does not give way, with an offer of its own open', async () => {
    const { box, socket } = await inCall({ us: CHROMIUM, them: FIREFOX });
    await latest().setLocalDescription();
    await tell(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-2', 'b2') });
    assert.equal(connections.length, 2);
    assert.equal(latest().remoteDescription.type, 'offer');
    box.close();
  });

  it('and one of ours at once are one: that of the side that does not give way', async () => {
    for (const [asCallee, opened] of [[false, 2], [true, 3]]) {
      connections.length = 0;
      const { box, socket } = await inCall({ asCallee, them: FIREFOX });
      await failsForGood(socket);
      assert.equal(certificateIn(socket.last('signal:offer')), 'c2');
      await tell(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-2', 'b2') });
      assert.equal(connections.length, opened);
      latest().gathers('complete');
      await go();
      assert.equal(certificateIn(socket.last('signal:answer')), asCallee ? 'c3' : undefined);
      box.close();
    }
  });

  it('is not what was on its way for the one before', async () => {
    const { box, socket } = await inCall({ asCallee: true });
    // An offer of ours that is open is answered after all.
    await latest().setLocalDescription();
    await failsForGood(socket);
    const warn = mock.method(console, 'warn', () => {});
    await tell(socket, 'ice:candidate', { candidate: { candidate: 'candidate:1', usernameFragment: 'b1' } });
    await tell(socket, 'signal:offer', { sdp: description(CHROMIUM, 'bob-1', 'b1') });
    await tell(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-1', 'b1') });
    assert.deepEqual([connections.length, latest().remoteDescription], [2, null]);
    await tell(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-2', 'b2') });
    assert.equal(latest().signalingState, 'stable');
    assert.deepEqual([latest().candidates, warn.mock.callCount()], [[], 0]);
    box.close();
  });

  it('need not be there: a client that knows nothing of it answers with the one that it has', async () => {
    const { box, socket, call } = await inCall();
    await failsForGood(socket);
    await tell(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-1', 'b2') });
    latest().is('connected');
    assert.equal(call.state, 'connected');
    box.close();
  });
});

describe('another path', () => {
  it('is answered with the credentials of the server that there is now', async () => {
    const { box, socket } = await inCall({ us: CHROMIUM, them: FIREFOX });
    socket.end();
    mock.timers.tick(400);
    const next = await welcomed({ sessionId: 's2' });
    await tell(next, 'signal:offer', { sdp: description(FIREFOX, 'bob-1', 'b2') });
    assert.deepEqual([latest().signalingState, latest().remoteDescription.sdp.includes('b2')], ['stable', false], 'not with those of the relay before');
    await refreshed(next);
    latest().gathers('complete');
    await go();
    assert.deepEqual(latest().config.iceServers, [{ urls: 'turn:new' }]);
    assert.ok(next.last('signal:answer'));
    box.close();
  });

  it('is offered by Firefox with its candidates, and waits for them a second at most', async () => {
    for (const complete of [true, false]) {
      connections.length = 0;
      const { box, socket, call } = await inCall();
      call.restartIce();
      await refreshed(socket);
      latest().onnegotiationneeded();
      await go();
      assert.equal(socket.last('signal:offer'), undefined);
      latest().gathers('gathering');
      if (complete) latest().gathers('complete');
      else mock.timers.tick(1_000);
      await go();
      assert.ok(socket.last('signal:offer'));
      box.close();
    }
  });

  it('is answered with the candidates where it was offered by Firefox, and waits for the first one longer', async () => {
    for (const complete of [true, false]) {
      connections.length = 0;
      const { box, socket } = await inCall({ us: CHROMIUM, them: FIREFOX });
      await tell(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-1', 'b2') });
      latest().gathers('gathering');
      mock.timers.tick(999);
      await go();
      assert.equal(socket.last('signal:answer'), undefined);
      if (complete) latest().gathers('complete');
      else {
        mock.timers.tick(1);
        await go();
        mock.timers.tick(3_999);
        await go();
        assert.equal(socket.last('signal:answer'), undefined);
        mock.timers.tick(1);
      }
      await go();
      assert.ok(socket.last('signal:answer'));
      box.close();
    }
  });

  it('is looked for again when nothing came of the first one', async () => {
    const { box, socket } = await inCall();
    latest().is('disconnected');
    for (const [ms, restarts] of [[3_000, 1], [8_000, 2], [8_000, 3]]) {
      mock.timers.tick(ms);
      await refreshed(socket);
      assert.equal(latest().restarts, restarts);
    }
    latest().is('connected');
    mock.timers.tick(8_000);
    await go();
    assert.equal(latest().restarts, 3);
    box.close();
  });
});

describe('a medium that comes again after a pause', () => {
  const MID = 'a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n';
  const sources = 'a=ssrc-group:FID 1 2\r\na=ssrc:1 cname:bob\r\n';
  const section = (rest) => `m=video 9 UDP/TLS/RTP/SAVPF 120\r\n${MID}a=sendrecv\r\n${rest}`;

  /** The sections that the browser is given of these, in an offer and in an answer. */
  async function given(us, them, sections, direction) {
    connections.length = 0;
    const { box, socket, call } = await inCall({ us, them });
    const transceiver = latest().addTransceiver('video', { direction });
    transceiver.currentDirection = direction;
    const described = description(them, 'bob-1', 'b1') + sections;
    await tell(socket, 'signal:offer', { sdp: described });
    const offer = latest().remoteDescription.sdp;
    // From now on it is received.
    transceiver.currentDirection = 'sendrecv';
    call.restartIce();
    await refreshed(socket);
    latest().onnegotiationneeded();
    await go();
    latest().gathers('complete');
    await go();
    await tell(socket, 'signal:answer', { sdp: described });
    const answer = latest().remoteDescription.sdp;
    box.close();
    return [offer, answer].map((sdp) => sdp.slice(sdp.indexOf('m=')));
  }

  it('is known by its sources between two Firefoxes, from then on', async () => {
    const both = section(sources) + section('').replace('sendrecv', 'inactive');
    for (const direction of ['inactive', 'sendonly']) {
      const known = both.replaceAll(MID, '');
      assert.deepEqual(await given(FIREFOX, FIREFOX, both, direction), [known, known]);
    }
  });

  it('is known as before where nothing has paused, no sources are named, or a browser is another one', async () => {
    for (const [us, them, sections, direction] of [
      [FIREFOX, FIREFOX, section(sources), 'sendrecv'],
      [FIREFOX, FIREFOX, section(sources) + section(''), 'inactive'],
      [FIREFOX, CHROMIUM, section(sources), 'inactive'],
      [CHROMIUM, FIREFOX, section(sources), 'inactive'],
    ]) assert.deepEqual(await given(us, them, sections, direction), [sections, sections]);
  });
});
