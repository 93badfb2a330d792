// Uses the types as clients do. The compiler checks that this is valid, and by each
// `@ts-expect-error` that misuse is not.

import type { Answer, Events, Payload, Requests, SessionHello } from '../../clients/js/events.js';

declare function ask<Name extends keyof Requests>(name: Name, data: Payload<Name>): Promise<Answer<Name>>;
declare function on<Name extends keyof Events>(name: Name, listener: (data: Events[Name]) => void): void;

export const hello: SessionHello = { token: 'a.b.c', protocol: 1, deviceId: 'laptop' };

export async function call(peer: RTCPeerConnection): Promise<string> {
  const answer = await ask('call:initiate', { targetUserId: 'bob', callType: 'video', msgId: '1' });
  // @ts-expect-error Only a successful answer has a call id.
  console.log(answer.callId);
  if (!answer.ok) return answer.error.code === 'rate_limited' ? `in ${answer.error.retryAfterMs} ms` : 'never';
  peer.setConfiguration({ iceServers: answer.iceServers });
  await ask('ice:candidate', { candidate: null });
  peer.onicecandidate = ({ candidate }) => ask('ice:candidate', { callId: answer.callId, candidate });
  const offer = await peer.createOffer();
  await ask('signal:offer', { sdp: offer.sdp ?? '' });
  // @ts-expect-error Unknown call type.
  await ask('call:initiate', { targetUserId: 'bob', callType: 'hologram' });
  // @ts-expect-error The target is required.
  await ask('call:initiate', { callType: 'audio' });
  // @ts-expect-error Unknown request.
  await ask('call:incoming', {});
  return answer.state;
}

on('call:incoming', ({ callId, callerName, metadata }) => {
  const name: string | undefined = callerName;
  // @ts-expect-error Its type is unknown.
  const topic: string = metadata;
  console.log(callId, name, topic);
});
on('call:ended', ({ reason, endedBy }) => {
  if (reason === 'hangup') console.log(endedBy?.length);
  // @ts-expect-error Unknown reason.
  if (reason === 'bored') console.log(endedBy);
});
on('signal:offer', ({ sdp, extra }) => {
  const text = typeof sdp === 'string' ? sdp : sdp.sdp;
  const unknown: unknown = extra;
  console.log(text, unknown);
});
// @ts-expect-error Unknown event.
on('call:initiate', () => {});
