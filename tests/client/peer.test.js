// Tests the client's peer connection after the loss of its path, with fakes for browser and server:
// ICE restarts, relay credentials, and the replacement of a connection that the browser cannot
// continue over. tests/browser tests the client with real ones.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { browser, connections, description, FakePeerConnection } from './fake-peer.js';
import { connected, forgetSockets, settle, welcomed } from './fake-server.js';

const FIREFOX = 'mozilla...THIS_IS_SDPARTA';
const CHROMIUM = '-';

let before;
beforeEach(() => {
  forgetSockets();
  connections.length = 0;
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  // The mock clock starts in 1970 at 0, which means "never" to the client.
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

/** Waits until steps that depend on each other are done. */
const settleAll = async () => { for (let step = 0; step < 20; step += 1) await settle(); };
const latest = () => connections.at(-1);
const certificateIn = (frame) => /^a=fingerprint:sha-256 (\S+)/m.exec(frame?.data.sdp)?.[1];
const deliver = async (socket, event, data) => {
  socket.deliver({ event, data: { callId: 'c', ...data } });
  await settleAll();
};

/** Answers all requests with success, except those that a test answers itself. */
function answerAll(socket) {
  const { send } = socket;
  socket.send = (text) => {
    send.call(socket, text);
    const frame = JSON.parse(text);
    if (frame.id && !['call:initiate', 'ice:refresh'].includes(frame.event)) setImmediate(() => socket.answer(frame));
  };
}

/** Sets up a connected call between a browser named `us` and one named `them`. */
async function inCall({ asCallee = false, us = FIREFOX, them = CHROMIUM, rtcConfig } = {}) {
  browser.name = us;
  const { box, socket } = await connected({ rtcConfig });
  answerAll(socket);
  let call;
  if (asCallee) {
    box.on('incoming', (incoming) => { call = incoming; });
    await deliver(socket, 'call:incoming', { callerId: 'bob', callType: 'audio', iceServers: [] });
    const accepted = call.accept({ stream });
    await accepted;
    await deliver(socket, 'signal:offer', { sdp: description(them, 'bob-1', 'b1') });
    latest().gathers('complete');
  } else {
    const pending = box.call('bob', { stream });
    await settleAll();
    socket.answer(socket.last('call:initiate'), { callId: 'c', state: 'connecting', callType: 'audio', iceServers: [] });
    call = await pending;
    await settleAll();
    // Browsers report gathering as complete until a restart gathers more.
    latest().gathers('complete');
    await settleAll();
    await deliver(socket, 'signal:answer', { sdp: description(them, 'bob-1', 'b1') });
  }
  latest().is('connected');
  assert.equal(call.state, 'connected');
  socket.sent.length = 0;
  return { box, socket, call };
}

/** Answers the request for fresh relay credentials. */
async function refreshed(socket, urls = 'turn:new') {
  await settleAll();
  socket.answer(socket.last('ice:refresh'), { iceServers: [{ urls }] });
  await settleAll();
}

/** Lets the connection fail, so that a replacement is offered. */
async function failForGood(socket) {
  latest().is('failed');
  mock.timers.tick(1);
  await refreshed(socket);
}

describe('a failed connection', () => {
  it('is replaced in Firefox, with the same tracks, mute and hold', async () => {
    const { box, socket, call } = await inCall();
    call.mute();
    call.hold();
    const [first] = connections;
    await failForGood(socket);
    assert.deepEqual([connections.length, first.connectionState, call.state], [2, 'closed', 'reconnecting']);
    assert.equal(call.pc, latest());
    assert.deepEqual(latest().config.iceServers, [{ urls: 'turn:new' }]);
    assert.deepEqual(latest().getSenders().map(({ track }) => track), [null], 'still on hold');
    assert.equal(certificateIn(socket.last('signal:offer')), 'c2');
    await deliver(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-2', 'b2') });
    latest().is('connected');
    assert.deepEqual([call.state, call.muted, call.held], ['connected', true, true]);
    call.hold(false);
    assert.deepEqual(latest().getSenders().map(({ track }) => track), [microphone]);
    box.close();
  });

  it('stays broken although Firefox reports that it is connected again', async () => {
    const { box, socket, call } = await inCall();
    const [first] = connections;
    first.is('failed');
    await deliver(socket, 'signal:offer', { sdp: description(CHROMIUM, 'bob-1', 'b2') });
    first.is('connected');
    assert.deepEqual([call.state, socket.last('signal:answer')], ['reconnecting', undefined]);
    box.close();
  });

  it('restarts ICE in other browsers, which can continue over it', async () => {
    const { box, socket, call } = await inCall({ us: CHROMIUM });
    await failForGood(socket);
    assert.deepEqual([connections.length, latest().restarts, call.state], [1, 1, 'reconnecting']);
    box.close();
  });

  it('is not replaced when the application sets certificates, which would hide the replacement', async () => {
    const { box, socket } = await inCall({ rtcConfig: { certificates: [{}] } });
    await failForGood(socket);
    assert.deepEqual([connections.length, latest().restarts], [1, 1]);
    box.close();
  });

  it('is replaced a second time after a pause when the replacement fails', async () => {
    const { box, socket } = await inCall();
    await failForGood(socket);
    await deliver(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-2', 'b2') });
    latest().is('failed');
    mock.timers.tick(2_999);
    await settleAll();
    assert.equal(connections.length, 2);
    mock.timers.tick(1);
    await refreshed(socket);
    assert.equal(connections.length, 3);
    box.close();
  });

  it('is lost when nobody answers the replacement', async () => {
    const { box, socket, call } = await inCall();
    await failForGood(socket);
    // failForGood() has passed one millisecond already.
    mock.timers.tick(34_998);
    await settleAll();
    assert.equal(call.state, 'reconnecting');
    mock.timers.tick(1);
    await settleAll();
    assert.deepEqual([call.state, socket.last('call:end').data.reason], ['ended', 'connection_lost']);
    box.close();
  });
});

describe('a replacement on the other side', () => {
  it('causes a replacement here', async () => {
    const { box, socket, call } = await inCall({ us: CHROMIUM, them: FIREFOX });
    const [first] = connections;
    await deliver(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-2', 'b2') });
    assert.deepEqual([connections.length, first.connectionState, call.state], [2, 'closed', 'reconnecting']);
    assert.deepEqual(latest().getSenders().map(({ track }) => track), [microphone]);
    latest().gathers('complete');
    await settleAll();
    assert.equal(certificateIn(socket.last('signal:answer')), 'c2');
    latest().is('connected');
    assert.equal(call.state, 'connected');
    box.close();
  });

  it('is also accepted by the impolite side with a pending offer of its own', async () => {
    const { box, socket } = await inCall({ us: CHROMIUM, them: FIREFOX });
    await latest().setLocalDescription();
    await deliver(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-2', 'b2') });
    assert.equal(connections.length, 2);
    assert.equal(latest().remoteDescription.type, 'offer');
    box.close();
  });

  it('that crosses a local one yields to that of the impolite side', async () => {
    for (const [asCallee, opened] of [[false, 2], [true, 3]]) {
      connections.length = 0;
      const { box, socket } = await inCall({ asCallee, them: FIREFOX });
      await failForGood(socket);
      assert.equal(certificateIn(socket.last('signal:offer')), 'c2');
      await deliver(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-2', 'b2') });
      assert.equal(connections.length, opened);
      latest().gathers('complete');
      await settleAll();
      assert.equal(certificateIn(socket.last('signal:answer')), asCallee ? 'c3' : undefined);
      box.close();
    }
  });

  it('ignores messages for the previous connection', async () => {
    const { box, socket } = await inCall({ asCallee: true });
    // A pending offer of this side is answered late.
    await latest().setLocalDescription();
    await failForGood(socket);
    const warn = mock.method(console, 'warn', () => {});
    await deliver(socket, 'ice:candidate', { candidate: { candidate: 'candidate:1', usernameFragment: 'b1' } });
    await deliver(socket, 'signal:offer', { sdp: description(CHROMIUM, 'bob-1', 'b1') });
    await deliver(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-1', 'b1') });
    assert.deepEqual([connections.length, latest().remoteDescription], [2, null]);
    await deliver(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-2', 'b2') });
    assert.equal(latest().signalingState, 'stable');
    assert.deepEqual([latest().candidates, warn.mock.callCount()], [[], 0]);
    box.close();
  });

  it('is optional: a client without it answers with its current connection', async () => {
    const { box, socket, call } = await inCall();
    await failForGood(socket);
    await deliver(socket, 'signal:answer', { sdp: description(CHROMIUM, 'bob-1', 'b2') });
    latest().is('connected');
    assert.equal(call.state, 'connected');
    box.close();
  });
});

describe('an ICE restart', () => {
  it('is answered with the current relay credentials', async () => {
    const { box, socket } = await inCall({ us: CHROMIUM, them: FIREFOX });
    socket.end();
    mock.timers.tick(400);
    const next = await welcomed({ sessionId: 's2' });
    await deliver(next, 'signal:offer', { sdp: description(FIREFOX, 'bob-1', 'b2') });
    assert.deepEqual([latest().signalingState, latest().remoteDescription.sdp.includes('b2')], ['stable', false], 'not with the old credentials');
    await refreshed(next);
    latest().gathers('complete');
    await settleAll();
    assert.deepEqual(latest().config.iceServers, [{ urls: 'turn:new' }]);
    assert.ok(next.last('signal:answer'));
    box.close();
  });

  it('is offered by Firefox with its candidates after at most a second', async () => {
    for (const complete of [true, false]) {
      connections.length = 0;
      const { box, socket, call } = await inCall();
      call.restartIce();
      await refreshed(socket);
      latest().onnegotiationneeded();
      await settleAll();
      assert.equal(socket.last('signal:offer'), undefined);
      latest().gathers('gathering');
      if (complete) latest().gathers('complete');
      else mock.timers.tick(1_000);
      await settleAll();
      assert.ok(socket.last('signal:offer'));
      box.close();
    }
  });

  it('offered by Firefox is answered with candidates, with a longer wait for the first', async () => {
    for (const complete of [true, false]) {
      connections.length = 0;
      const { box, socket } = await inCall({ us: CHROMIUM, them: FIREFOX });
      await deliver(socket, 'signal:offer', { sdp: description(FIREFOX, 'bob-1', 'b2') });
      latest().gathers('gathering');
      mock.timers.tick(999);
      await settleAll();
      assert.equal(socket.last('signal:answer'), undefined);
      if (complete) latest().gathers('complete');
      else {
        mock.timers.tick(1);
        await settleAll();
        mock.timers.tick(3_999);
        await settleAll();
        assert.equal(socket.last('signal:answer'), undefined);
        mock.timers.tick(1);
      }
      await settleAll();
      assert.ok(socket.last('signal:answer'));
      box.close();
    }
  });

  it('follows a restart of the server if the path is relayed, also in the first second of a call', async () => {
    for (const [type, restarts] of [['relay', 1], ['host', 0]]) {
      const { box, socket } = await inCall({ us: CHROMIUM });
      latest().getStats = async () => new Map([
        ['t', { type: 'transport', selectedCandidatePairId: 'p' }],
        ['p', { type: 'candidate-pair', localCandidateId: 'l', remoteCandidateId: 'r' }],
        ['l', { type: 'local-candidate', candidateType: type }],
        ['r', { type: 'remote-candidate', candidateType: 'host' }],
      ]);
      // The next attempt follows within half a second: before the first regular reading.
      mock.method(Math, 'random', () => 0);
      socket.end();
      mock.timers.tick(500);
      const next = await welcomed({ sessionId: 's2' });
      await refreshed(next);
      assert.equal(latest().restarts, restarts);
      mock.restoreAll();
      box.close();
    }
  });

  it('is repeated while it has no effect', async () => {
    const { box, socket } = await inCall();
    latest().is('disconnected');
    for (const [ms, restarts] of [[3_000, 1], [8_000, 2], [8_000, 3]]) {
      mock.timers.tick(ms);
      await refreshed(socket);
      assert.equal(latest().restarts, restarts);
    }
    latest().is('connected');
    mock.timers.tick(8_000);
    await settleAll();
    assert.equal(latest().restarts, 3);
    box.close();
  });
});

describe('a medium that is received again after a pause', () => {
  const MID = 'a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n';
  const sources = 'a=ssrc-group:FID 1 2\r\na=ssrc:1 cname:bob\r\n';
  const section = (rest) => `m=video 9 UDP/TLS/RTP/SAVPF 120\r\n${MID}a=sendrecv\r\n${rest}`;

  /**
   * Returns the sections that the browser is given of an offer and of an answer with `sections`.
   */
  async function given(us, them, sections, direction) {
    connections.length = 0;
    const { box, socket, call } = await inCall({ us, them });
    const transceiver = latest().addTransceiver('video', { direction });
    transceiver.currentDirection = direction;
    const described = description(them, 'bob-1', 'b1') + sections;
    await deliver(socket, 'signal:offer', { sdp: described });
    const offer = latest().remoteDescription.sdp;
    // Received from now on.
    transceiver.currentDirection = 'sendrecv';
    call.restartIce();
    await refreshed(socket);
    latest().onnegotiationneeded();
    await settleAll();
    latest().gathers('complete');
    await settleAll();
    await deliver(socket, 'signal:answer', { sdp: described });
    const answer = latest().remoteDescription.sdp;
    box.close();
    return [offer, answer].map((sdp) => sdp.slice(sdp.indexOf('m=')));
  }

  it('is described without mid extension between two Firefoxes, from then on', async () => {
    const both = section(sources) + section('').replace('sendrecv', 'inactive');
    for (const direction of ['inactive', 'sendonly']) {
      const known = both.replaceAll(MID, '');
      assert.deepEqual(await given(FIREFOX, FIREFOX, both, direction), [known, known]);
    }
  });

  it('is described unchanged without a pause, without listed sources, or with another browser', async () => {
    for (const [us, them, sections, direction] of [
      [FIREFOX, FIREFOX, section(sources), 'sendrecv'],
      [FIREFOX, FIREFOX, section(sources) + section(''), 'inactive'],
      [FIREFOX, CHROMIUM, section(sources), 'inactive'],
      [CHROMIUM, FIREFOX, section(sources), 'inactive'],
    ]) assert.deepEqual(await given(us, them, sections, direction), [sections, sections]);
  });
});

describe('a policy that the server forces', () => {
  /** Starts a call whose server answers with a policy, with the application's configuration. */
  async function call(iceTransportPolicy, rtcConfig) {
    browser.name = CHROMIUM;
    const { box, socket } = await connected({ rtcConfig });
    answerAll(socket);
    const pending = box.call('bob', { stream });
    await settleAll();
    socket.answer(socket.last('call:initiate'), { callId: 'c', state: 'connecting', callType: 'audio', iceServers: [], iceTransportPolicy });
    const started = await pending;
    await settleAll();
    return { box, socket, call: started };
  }

  it('is the policy of the connection, also against the application', async () => {
    for (const rtcConfig of [{}, { iceTransportPolicy: 'all' }, { iceServers: [{ urls: 'turn:own' }] }]) {
      const { box } = await call('relay', rtcConfig);
      assert.equal(latest().config.iceTransportPolicy, 'relay', JSON.stringify(rtcConfig));
      box.close();
    }
  });

  it('leaves the policy to the application if there is none', async () => {
    for (const [rtcConfig, policy] of [[{}, undefined], [{ iceTransportPolicy: 'relay' }, 'relay']]) {
      const { box } = await call(undefined, rtcConfig);
      assert.equal(latest().config.iceTransportPolicy, policy);
      box.close();
    }
  });

  it('is kept with fresh servers, and taken from them', async () => {
    const { box, socket } = await call(undefined, { bundlePolicy: 'max-bundle' });
    await deliver(socket, 'ice:servers', { iceServers: [{ urls: 'turn:new' }], iceTransportPolicy: 'relay' });
    const { iceServers, iceTransportPolicy, bundlePolicy } = latest().config;
    assert.deepEqual([iceServers, iceTransportPolicy, bundlePolicy], [[{ urls: 'turn:new' }], 'relay', 'max-bundle']);
    box.close();
  });

  it('is obeyed by the callee', async () => {
    browser.name = CHROMIUM;
    const { box, socket } = await connected({});
    answerAll(socket);
    let incoming;
    box.on('incoming', (ringing) => { incoming = ringing; });
    await deliver(socket, 'call:incoming', { callerId: 'bob', callType: 'audio', iceServers: [], iceTransportPolicy: 'relay' });
    await incoming.accept({ stream });
    assert.equal(latest().config.iceTransportPolicy, 'relay');
    box.close();
  });
});
