// A minimal application of @callbox/client for tests. The query string names its user, and the
// module to import the client from. `call` and `room` are the latest ones, `said` and `heard` the
// events they emitted.

const query = new URLSearchParams(location.search);
const { connect } = await import(query.get('module') ?? '/callbox.js');

window.follow = (call) => {
  window.call = call;
  window.said = [];
  for (const event of ['state', 'ended', 'media', 'message', 'upgraded', 'peer']) call.on(event, (detail) => said.push([event, detail]));
  call.on('warning', ({ code, message }) => said.push(['warning', { code, message }]));
  call.on('stream', (stream) => { video.srcObject = stream; });
  return call;
};

window.heard = [];
window.joinRoom = async (options) => {
  const room = await box.join('team-a/standup', options);
  window.room = room;
  room.on('joined', ({ name }) => heard.push(`joined ${name}`));
  room.on('left', ({ name }, reason) => heard.push(`left ${name} ${reason}`));
  room.on('message', (data, { name }) => heard.push(`message ${name} ${JSON.stringify(data)}`));
  room.on('ended', ({ reason }) => heard.push(`ended ${reason}`));
  room.on('warning', ({ code }, { name }) => heard.push(`warning ${name} ${code}`));
  return room.participantId;
};

/** Returns a filter for ICE servers that are reached over one transport; over TLS by name. */
const only = (transport) => (servers) => servers.map((server) => ({
  ...server,
  urls: [server.urls].flat().map((url) => url.replace(/^turns:127\.0\.0\.1/, 'turns:turn.callbox.test')).filter((url) => (transport === 'tls' ? url.startsWith('turns:') : url.startsWith('turn:') && url.endsWith(`transport=${transport}`))),
})).filter(({ urls }) => urls.length);

const relay = query.get('relay');
if (relay && relay !== 'any') {
  const limit = (config) => ({ ...config, iceServers: only(relay)(config.iceServers ?? []) });
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(config) {
      super(limit(config));
    }

    setConfiguration(config) {
      super.setConfiguration(limit(config));
    }
  };
}

window.tokens = [];
window.box = await connect(query.get('server'), {
  // Returns the tokens of the query string one after the other, then the last one again.
  token: ({ fresh }) => {
    const all = query.get('token').split(' ');
    return all[Math.min(all.length, tokens.push(fresh)) - 1];
  },
  deviceId: query.get('device') ?? undefined,
  rtcConfig: relay ? { iceTransportPolicy: 'relay' } : {},
});
box.on('incoming', (call) => {
  follow(call);
  if (query.get('answer') !== 'no') call.accept({ video: call.type === 'video' && SMALL });
});
document.body.dataset.ready = '';
