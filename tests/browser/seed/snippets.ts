async function createPeerConnection(): Promise<RTCPeerConnection> {
  const pc = new RTCPeerConnection({
    iceServers: [
      { urls: 'stun:stun.caas.io:3478' },
      {
        urls: 'turn:turn.caas.io:3478',
        username: turnCredentials.username,
        credential: turnCredentials.password
      }
    ]
  });
  
  pc.onicecandidate = (event) => {
    if (event.candidate) {
      socket.emit('ice:candidate', {
        callId,
        candidate: event.candidate
      });
    }
  };
  
  pc.ontrack = (event) => {
    remoteVideo.srcObject = event.streams[0];
  };
  
  return pc;
}

async function startLocalMedia(type: 'audio' | 'video') {
  const constraints = {
    audio: true,
    video: type === 'video' ? {
      width: { ideal: 1280 },
      height: { ideal: 720 },
      facingMode: 'user'
    } : false
  };
  
  const stream = await navigator.mediaDevices.getUserMedia(constraints);
  
  stream.getTracks().forEach(track => {
    pc.addTrack(track, stream);
  });
  
  return stream;
}
