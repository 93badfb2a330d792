// An application over Socket.IO with the negotiator of docs/negotiation.md: an audio call that is
// upgraded to video. The test replaces the next line by the code of the document.
/* NEGOTIATE */

const { url, token, call: targetUserId } = Object.fromEntries(new URLSearchParams(location.search));
const socket = io(url, { auth: { token, deviceId: 'laptop' } });
window.socket = socket;

const stream = new MediaStream();
const open = async (constraints) => {
  const opened = await navigator.mediaDevices.getUserMedia(constraints);
  for (const track of opened.getTracks()) stream.addTrack(track);
  return opened.getTracks()[0];
};

let callId;
let camera;
let servers;
function openConnection() {
  const pc = new RTCPeerConnection({ iceServers: servers });
  pc.ontrack = ({ streams }) => { document.getElementById('remoteVideo').srcObject = streams[0]; };
  for (const track of stream.getTracks()) pc.addTrack(track, stream);
  window.pc = pc;
  return pc;
}
async function prepare({ iceServers }) {
  servers = iceServers;
  await open({ audio: true });
  openConnection();
}
const negotiateAs = (first) => { window.negotiator = negotiate(window.pc, { socket, callId, first, another: openConnection }); };

socket.on('connect', () => { document.body.dataset.connected = ''; });
window.start = async () => {
  const answer = await socket.emitWithAck('call:initiate', { targetUserId, callType: 'audio' });
  callId = answer.callId;
  await prepare(answer);
  if (window.isAccepted) negotiateAs(true);
};
socket.on('call:accepted', () => {
  window.isAccepted = true;
  if (window.pc) negotiateAs(true);
});
socket.on('call:incoming', async (call) => {
  callId = call.callId;
  await prepare(call);
  negotiateAs(false);
  socket.emit('call:accept', { callId });
});

window.upgrade = async () => {
  camera ??= await open({ video: SMALL });
  socket.emit('call:upgrade', { callId, callType: 'video' });
};
socket.on('call:upgrade', () => window.upgrade());
socket.on('call:upgraded', ({ accepted }) => {
  if (!accepted) return;
  window.pc.addTrack(camera, stream);
  window.negotiator.changed({ video: true });
});
socket.on('call:ended', ({ reason }) => { document.body.dataset.ended = reason; });
