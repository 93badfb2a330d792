// A sample application for the type checker, not run: tsc must report an error on each line after a
// `@ts-expect-error`, and nowhere else.

import { CallboxError, connect, type Box, type Call, type CallEnd, type CallRecord, type EndReason, type RoomMember } from '@callbox/client';
import type { Events } from '@callbox/client/events';

const video = document.querySelector('video') as HTMLVideoElement;

function follow(call: Call): void {
  call.on('stream', (stream) => { video.srcObject = stream; });
  call.on('state', (state) => console.log(state === 'reconnecting'));
  call.on('stats', ({ rttMs, relayed }) => console.log(rttMs?.toFixed(), relayed));
  call.on('upgrade', async (request) => { if (request.type === 'video') await request.accept({ video: false }); });
  call.on('warning', ({ code, message }) => console.log(code, message));
  call.once('ended', ({ reason, error }: CallEnd) => console.log(reason === 'busy', error?.code === 'call_not_found'));
  // @ts-expect-error: there is no such state.
  call.on('state', (state) => state === 'conected');
  // @ts-expect-error: there is no such event.
  call.on('finished', () => {});
}

async function talk(): Promise<Box> {
  const box = await connect('https://callbox.example', {
    token: async ({ fresh }) => (await fetch(`/token?fresh=${fresh}`)).text(),
    rtcConfig: { iceTransportPolicy: 'relay' },
  });
  const off: () => void = box.on('incoming', (call) => { follow(call); void call.accept({ video: true }); });
  off();
  box.on('call:state', ({ call }: Events['call:state']) => { const record: CallRecord = call; console.log(record.participants[0]?.userId); });
  const call = await box.call('bob', { video: { facingMode: 'environment' }, metadata: { topic: 'Invoice 17' } });
  follow(call);
  call.mute();
  call.hold(false);
  const agreed: boolean = await call.upgrade('audio');
  const moved: boolean = await call.transfer('phone');
  const { iceServers } = await box.request('ice:refresh');
  const { state } = await box.request('call:end', { callId: call.id ?? undefined, reason: 'hangup' });
  const reason: EndReason = 'answered_elsewhere';
  console.log(agreed, moved, iceServers[0]?.urls, state, reason);
  // @ts-expect-error: targetUserId is missing.
  await box.request('call:initiate', { callType: 'video' });
  // @ts-expect-error: the state is read-only.
  call.state = 'ended';
  return box;
}

async function meet(box: Box): Promise<void> {
  const room = await box.join('team-a/standup', { video: true, metadata: { seat: 3 } });
  const show = (member: RoomMember): void => {
    member.on('stream', (stream) => { video.srcObject = stream; });
    member.on('state', (state) => console.log(state === 'failed', member.remoteMedia.muted));
    // @ts-expect-error: a member does not end, it leaves.
    member.on('ended', () => {});
  };
  room.members.forEach(show);
  room.on('joined', show);
  room.on('left', ({ userId }, reason) => console.log(userId, reason === 'hangup'));
  room.on('message', (data, member) => console.log(data, member.name));
  room.on('warning', ({ code }, member) => console.log(code, member.name));
  room.mute();
  await room.send({ hand: 'raised' }, room.members[0]);
  // @ts-expect-error: a room has no upgrades.
  await room.upgrade('video');
  room.leave();
}

// @ts-expect-error: the token is required.
void connect('https://callbox.example', {});
talk().then(meet).catch((error: unknown) => { if (error instanceof CallboxError) console.log(error.retryAfterMs ?? 0); });
