// The minimal application around the call flow's snippets. It handles the events of the flow's
// diagram and no others.
//
// The test replaces the next line by the snippets, without their types.
/* SNIPPETS */

const { url, token, call: targetUserId, device: deviceId } = Object.fromEntries(new URLSearchParams(location.search));
const remoteVideo = document.getElementById('remoteVideo');
const heard = [];
let socket;
let callId;
let turnCredentials;
let pc;
const early = [];

async function prepare(type) {
  pc = await createPeerConnection();
  window.pc = pc;
  await startLocalMedia(type);
}

async function takeDescription(description) {
  await pc.setRemoteDescription(description);
  for (const candidate of early.splice(0)) await pc.addIceCandidate(candidate);
}

socket = io(url, { auth: { token, deviceId } });
socket.onAny((event) => heard.push(event));
socket.on('disconnect', () => { document.body.dataset.connected = 'no'; });
socket.on('connect', () => {
  document.body.dataset.connected = 'yes';
  // After a reconnect the call continues.
  if (!targetUserId || callId) return;
  socket.emit('call:initiate', { targetUserId, callType: 'video' }, (answer) => {
    ({ callId, turnCredentials } = answer);
  });
});
socket.on('connect_error', (error) => { document.body.dataset.error = error.message; });

// Callee.
socket.on('call:incoming', async (data) => {
  ({ callId, turnCredentials } = data);
  await prepare(data.callType);
  socket.emit('call:accept', { callId });
});
socket.on('signal:offer', async ({ sdp }) => {
  await takeDescription({ type: 'offer', sdp });
  const answer = await pc.createAnswer();
  await pc.setLocalDescription(answer);
  socket.emit('signal:answer', { callId, sdp: answer.sdp });
});

// Caller.
socket.on('call:accepted', async () => {
  await prepare('video');
  const offer = await pc.createOffer();
  await pc.setLocalDescription(offer);
  socket.emit('signal:offer', { callId, sdp: offer.sdp });
});
socket.on('signal:answer', ({ sdp }) => takeDescription({ type: 'answer', sdp }));

// Both.
socket.on('ice:candidate', ({ candidate }) => {
  if (pc?.remoteDescription) pc.addIceCandidate(candidate);
  else early.push(candidate);
});
socket.on('call:ended', ({ reason }) => {
  pc?.close();
  document.body.dataset.ended = reason;
});
window.hangUp = () => {
  socket.emit('call:end', { callId });
  pc.close();
};
window.restart = async () => {
  const offer = await pc.createOffer({ iceRestart: true });
  await pc.setLocalDescription(offer);
  socket.emit('signal:offer', { callId, sdp: offer.sdp });
};
window.heard = heard;
window.currentCall = () => callId;
