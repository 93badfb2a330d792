// The call flow's diagram step by step: each event is sent when the previous one has arrived.

import assert from 'node:assert/strict';
import { SocketIoClient, WebSocketClient } from './clients.js';

/** The JSON of a browser's RTCIceCandidate, as the flow's snippet sends it. */
export function candidate(host) {
  return {
    candidate: `candidate:842163049 1 udp 1677729535 ${host} 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag EsAw network-cost 999`,
    sdpMid: '0',
    sdpMLineIndex: 0,
    usernameFragment: 'EsAw',
  };
}

export const sdp = (who) => `v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=${who}\r\nt=0 0\r\n`;

export const kinds = {
  'Socket.IO': SocketIoClient,
  'Socket.IO, polling only': {
    connect: (server, name, token, options) =>
      SocketIoClient.connect(server, name, token, { transports: ['polling'], ...options }),
  },
  'Socket.IO, WebSocket only': {
    connect: (server, name, token, options) =>
      SocketIoClient.connect(server, name, token, { transports: ['websocket'], ...options }),
  },
  WebSocket: WebSocketClient,
};

/**
 * Runs the diagram between two connected clients and returns the call's id. Both also wait for each
 * `call:state`, so that transcripts have it at the same position.
 */
export async function runDiagram(alice, bob) {
  const inState = async (state) => {
    for (const client of [alice, bob]) assert.equal((await client.next('call:state')).call.state, state);
  };

  // User initiates call.
  const { callId } = await alice.request('call:initiate', { targetUserId: bob.name, callType: 'video' });
  await bob.next('call:incoming');
  await inState('ringing');

  // User answers.
  bob.emit('call:accept', { callId });
  await alice.next('call:accepted');
  await inState('connecting');

  // ICE candidate gathering: before the SDP, as in the diagram.
  alice.emit('ice:candidate', { callId, candidate: candidate('203.0.113.1') });
  await bob.next('ice:candidate');
  bob.emit('ice:candidate', { callId, candidate: candidate('203.0.113.2') });
  await alice.next('ice:candidate');

  // SDP exchange.
  alice.emit('signal:offer', { callId, sdp: sdp('offer') });
  await bob.next('signal:offer');
  bob.emit('signal:answer', { callId, sdp: sdp('answer') });
  await alice.next('signal:answer');
  await inState('connected');

  // End call.
  alice.emit('call:end', { callId });
  await bob.next('call:ended');
  await inState('ended');
  return callId;
}
