// callbox's demo page: signs in, shows who is here, makes and takes calls.
//
// Four parts, top to bottom: `Signaling` (the WebSocket), `Call` (one RTCPeerConnection and what
// belongs to it), `Meter` (what getStats says), and the page itself. Nothing is global; what a
// test needs to see is in ids and data- attributes.

// ---- Signaling ---------------------------------------------------------------------------------

/** An answer `{ ok: false, error }`, or no answer at all (`connection_lost`). */
class SignalingError extends Error {
  constructor({ code, message }) {
    super(message ?? code);
    this.code = code;
  }
}

/**
 * The plain WebSocket front: `{ event, id, data }` out, `{ re, data }` and `{ event, data }` in.
 * Connects again by itself, with backoff and jitter, until `stop`, and goes on with the session that
 * it had: each event comes once and in order, and a request whose answer was lost is made again,
 * which the server knows by its `msgId`. Each server event is dispatched under its own name, its
 * payload as `detail`; the state as `status`.
 */
class Signaling extends EventTarget {
  static ANSWER_WITHIN_MS = 10_000;
  static FIRST_DELAY_MS = 400;
  static LONGEST_DELAY_MS = 10_000;
  static ACKNOWLEDGE_AFTER_MS = 1_000;

  #url;
  #token;
  #deviceId;
  #socket = null;
  #welcomed = false;
  #stopped = false;
  #attempt = 0;
  #timer = 0;
  #nextId = 1;
  /** How often an open connection to the server has been lost. */
  losses = 0;
  #pending = new Map();
  #waiting = [];
  /** The session, and the number of the last of its events that has come. */
  #session = null;
  #seq = 0;
  #ackTimer = 0;
  /** When the server said that it stops: how long it wants to be left alone. */
  #drained = null;

  /** `token` is asked for a token at every connection: `async ({ fresh }) => string`. */
  constructor(url, token, deviceId) {
    super();
    this.#url = url;
    this.#token = token;
    this.#deviceId = deviceId;
    addEventListener('online', this.#hurry);
  }

  start() {
    this.#connect();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#ackTimer);
    removeEventListener('online', this.#hurry);
    this.#socket?.close(1000);
    for (const entry of this.#pending.values()) {
      clearTimeout(entry.timer);
      entry.reject(new SignalingError({ code: 'stopped', message: 'Signed out.' }));
    }
    this.#pending.clear();
  }

  get online() {
    return this.#welcomed;
  }

  /** Sends a request, once there is a session to send it on, and gives its answer. */
  request(event, data = {}) {
    return new Promise((resolve, reject) => {
      const entry = { event, data: { ...data, msgId: crypto.randomUUID?.() ?? `${Math.random()}` }, resolve, reject };
      entry.timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        this.#pending.delete(entry.id);
        reject(new SignalingError({ code: 'connection_lost', message: 'The server did not answer.' }));
      }, Signaling.ANSWER_WITHIN_MS);
      if (this.#welcomed) this.#send(entry);
      else this.#waiting.push(entry);
    });
  }

  /** Sends without an answer and without waiting, for a page that is about to go. */
  tell(event, data) {
    if (this.#welcomed) this.#socket.send(JSON.stringify({ event, data }));
  }

  #send(entry) {
    entry.id = this.#nextId++;
    this.#pending.set(entry.id, entry);
    this.#socket.send(JSON.stringify({ event: entry.event, id: entry.id, data: entry.data }));
  }

  async #connect() {
    this.#status('connecting');
    let token;
    try {
      // A token that was refused a moment ago is no use a second time.
      token = await this.#token({ fresh: this.#attempt > 0 });
    } catch {
      return this.#retry();
    }
    if (this.#stopped) return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      const data = { token, protocol: 1, deviceId: this.#deviceId };
      if (this.#session) data.resume = { sessionId: this.#session, seq: this.#seq };
      socket.send(JSON.stringify({ event: 'session:hello', id: this.#nextId++, data }));
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (this.#welcomed) this.losses += 1;
      this.#welcomed = false;
      clearTimeout(this.#ackTimer);
      this.#ackTimer = 0;
      // Whether these were heard is not known: they are made again.
      this.#waiting.unshift(...this.#pending.values());
      this.#pending.clear();
      this.#retry();
    };
  }

  #receive({ event, re, seq, data }) {
    if (seq !== undefined) {
      this.#seq = seq;
      this.#ackTimer ||= setTimeout(() => {
        this.#ackTimer = 0;
        this.#socket?.send(JSON.stringify({ ack: this.#seq }));
      }, Signaling.ACKNOWLEDGE_AFTER_MS);
    }
    if (event === 'server:draining') this.#drained = data.reconnectAfterMs;
    if (event === 'session:welcome') {
      if (!data.resumed) this.#seq = 0;
      this.#session = data.sessionId;
      this.#welcomed = true;
      this.#attempt = 0;
      this.#status('online');
      for (const entry of this.#waiting.splice(0)) this.#send(entry);
    } else if (event === 'auth:expiring') {
      this.#refresh();
    } else if (re !== undefined) {
      const entry = this.#pending.get(re);
      if (!entry) return;
      this.#pending.delete(re);
      clearTimeout(entry.timer);
      if (data.ok) entry.resolve(data);
      else entry.reject(new SignalingError(data.error));
      return;
    }
    if (event) this.dispatchEvent(new CustomEvent(event, { detail: data }));
  }

  async #refresh() {
    try {
      await this.request('auth:refresh', { token: await this.#token({ fresh: true }) });
    } catch {
      // The server closes the connection in time, and the next one brings a fresh token.
    }
  }

  #retry() {
    if (this.#stopped) return;
    this.#status('offline');
    const ceiling = Math.min(Signaling.LONGEST_DELAY_MS, Signaling.FIRST_DELAY_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    // Half fixed, half random: pages that lost the server together do not return together.
    const delay = this.#drained ?? ceiling * (0.5 + Math.random() / 2);
    this.#drained = null;
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #hurry = () => {
    if (this.#stopped || this.#socket) return;
    clearTimeout(this.#timer);
    this.#connect();
  };

  #status(state) {
    this.dispatchEvent(new CustomEvent('status', { detail: state }));
  }
}

// ---- A call ------------------------------------------------------------------------------------

/** A refusal by the browser or the device, in words for the person. */
class MediaError extends Error {}

/**
 * Opens the microphone and, for a video call, the camera. What is missing is left out, with a
 * sentence in `missing`; what is forbidden is an error, since the person can change that.
 */
async function openMedia(type) {
  if (!navigator.mediaDevices) {
    throw new MediaError('Browsers give the camera and microphone only to pages from https:// or localhost. Open this page under one of these.');
  }
  const video = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' };
  const tries = type === 'video'
    ? [
        [{ audio: true, video }, ''],
        [{ audio: true, video: false }, 'No camera could be opened: the other side will only hear you.'],
        [{ audio: false, video }, 'No microphone could be opened: the other side will only see you.'],
      ]
    : [[{ audio: true, video: false }, '']];
  for (const [constraints, missing] of tries) {
    try {
      return { stream: await navigator.mediaDevices.getUserMedia(constraints), missing };
    } catch (error) {
      if (error.name === 'NotAllowedError' || error.name === 'SecurityError') {
        const what = type === 'video' ? 'The camera and the microphone are' : 'The microphone is';
        throw new MediaError(`${what} blocked for this page. Allow access in the address bar, then try again.`);
      }
    }
  }
  return { stream: new MediaStream(), missing: 'No microphone could be opened: you will hear the other side, but they will not hear you.' };
}

/**
 * One call, from the click to the last word. Dispatches `change` when something to show has
 * changed, `picture` with the remote stream, `warning` with a sentence, and `over` once.
 */
class Call extends EventTarget {
  static LATE_CANDIDATES_MS = 8_000;
  static RESTART_WITHIN_MS = 15_000;

  state = 'initiating';
  id = null;
  stream = null;
  pc = null;
  connectedAt = 0;
  over = false;

  #signaling;
  #lossesBefore;
  #relayOnly;
  #polite;
  #makingOffer = false;
  #ignoringOffer = false;
  #negotiated = false;
  #candidates = [];
  #queue = Promise.resolve();
  #restarting = 0;

  constructor(signaling, { peer, name = peer, type, outgoing, relayOnly, id = null, iceServers = [] }) {
    super();
    this.#signaling = signaling;
    this.#lossesBefore = signaling.losses;
    this.#relayOnly = relayOnly;
    // The one who answers gives way when two offers cross.
    this.#polite = !outgoing;
    Object.assign(this, { peer, name, type, outgoing, id, iceServers });
  }

  /** Caller: media first, so that a refused camera is known before anything rings. */
  async initiate() {
    try {
      await this.#open();
      if (this.over) return;
      const answer = await this.#signaling.request('call:initiate', { targetUserId: this.peer, callType: this.type });
      this.id = answer.callId;
      // Hung up while the server was asked: it does not know yet.
      if (this.over) return void this.#tell('call:end');
      this.iceServers = answer.iceServers ?? this.iceServers;
      this.#to(answer.state);
    } catch (error) {
      this.finish({ reason: 'error', message: error.message, code: error.code });
    }
  }

  /** Callee: the peer connection is ready before the accept, so no offer can come too early. */
  async accept() {
    try {
      this.#to('connecting');
      await this.#open();
      if (this.over) return;
      this.#connect();
      await this.#signaling.request('call:accept', { callId: this.id });
    } catch (error) {
      // The caller must not ring on for nothing.
      if (error instanceof MediaError) this.#tell('call:reject', { reason: 'rejected' });
      this.finish({ reason: 'error', message: error.message, code: error.code });
    }
  }

  /** Caller: the other side has answered. */
  accepted() {
    if (this.over || this.pc) return;
    this.#to('connecting');
    this.#connect();
    this.#inTurn(() => this.#offer());
  }

  /**
   * What the server says about the call. From `connecting` on the page itself knows better, but
   * the accept may have come while we were away.
   */
  serverState(state) {
    if (!this.outgoing || this.pc || !this.id) return;
    if (state === 'initiating' || state === 'ringing') this.#to(state);
    else if (state === 'connecting' || state === 'connected') this.accepted();
  }

  description(description) {
    this.#inTurn(async () => {
      const crossed = this.#makingOffer || this.pc.signalingState !== 'stable';
      this.#ignoringOffer = !this.#polite && description.type === 'offer' && crossed;
      if (this.#ignoringOffer) return;
      // On the polite side this rolls back an offer of ours first.
      await this.pc.setRemoteDescription(description);
      for (const candidate of this.#candidates.splice(0)) await this.#addCandidate(candidate);
      if (description.type === 'offer') {
        await this.pc.setLocalDescription();
        this.#tell('signal:answer', { sdp: this.pc.localDescription.sdp });
      }
      this.#negotiated = true;
    });
  }

  candidate(candidate) {
    this.#inTurn(async () => {
      // A browser throws at a candidate that comes before the description it belongs to.
      if (this.pc.remoteDescription) await this.#addCandidate(candidate);
      else this.#candidates.push(candidate);
    });
  }

  get micOn() {
    return this.stream?.getAudioTracks().some((track) => track.enabled) ?? false;
  }

  get cameraOn() {
    return this.stream?.getVideoTracks().some((track) => track.enabled) ?? false;
  }

  toggleMic() {
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !track.enabled;
    this.#changed();
  }

  /** Off sends nothing at all, rather than black frames. */
  async toggleCamera() {
    const [track] = this.stream?.getVideoTracks() ?? [];
    if (!track) return;
    track.enabled = !track.enabled;
    this.#changed();
    const sender = this.#senders?.get(track);
    await sender?.replaceTrack(track.enabled ? track : null).catch(() => {});
  }

  hangUp() {
    if (this.over) return;
    const early = this.state === 'initiating' || this.state === 'ringing';
    // Before the accept this is a cancel to the server. Saying so would be wrong by the time it
    // arrives if the other side answers in this very moment.
    if (this.id) this.#tell('call:end');
    this.finish({ reason: early ? 'cancelled' : 'hangup', mine: true });
  }

  /** The page goes away: no time for an answer. */
  abandon() {
    if (!this.over && this.id) this.#signaling.tell('call:end', { callId: this.id });
  }

  finish(end) {
    if (this.over) return;
    this.over = true;
    this.state = 'ended';
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.pc?.close();
    this.dispatchEvent(new CustomEvent('over', { detail: end }));
  }

  #senders = new Map();

  async #open() {
    const { stream, missing } = await openMedia(this.type);
    if (this.over) return stream.getTracks().forEach((track) => track.stop());
    this.stream = stream;
    if (missing) this.dispatchEvent(new CustomEvent('warning', { detail: missing }));
    this.#changed();
  }

  #connect() {
    const pc = new RTCPeerConnection({
      iceServers: this.iceServers,
      iceTransportPolicy: this.#relayOnly ? 'relay' : 'all',
    });
    this.pc = pc;
    for (const track of this.stream.getTracks()) {
      this.#senders.set(track, pc.addTrack(track, this.stream));
      if (track.kind === 'video' && !track.enabled) this.#senders.get(track).replaceTrack(null);
    }
    if (this.outgoing) {
      // Without a device of our own we still want to see and hear.
      if (!this.stream.getAudioTracks().length) pc.addTransceiver('audio', { direction: 'recvonly' });
      if (this.type === 'video' && !this.stream.getVideoTracks().length) pc.addTransceiver('video', { direction: 'recvonly' });
    }
    pc.onicecandidate = ({ candidate }) => {
      if (candidate) this.#tell('ice:candidate', { candidate });
    };
    pc.ontrack = ({ track, streams }) => {
      const stream = streams[0] ?? new MediaStream([track]);
      this.dispatchEvent(new CustomEvent('picture', { detail: stream }));
    };
    pc.onnegotiationneeded = () => {
      // The first offer is the caller's, and made when the call is accepted.
      if (this.#negotiated) this.#inTurn(() => this.#offer());
    };
    pc.onconnectionstatechange = () => {
      if (this.over) return;
      if (pc.connectionState === 'connected') {
        this.connectedAt ||= Date.now();
        this.#tell('call:connected');
        this.#to('connected');
      } else if (pc.connectionState === 'disconnected') {
        this.#tell('call:reconnecting');
        this.#to('reconnecting');
      } else if (pc.connectionState === 'failed') {
        if (this.connectedAt) this.#restart();
        // "Failed" is said when the candidates so far have failed. Better ones may be on their way.
        else setTimeout(() => pc.connectionState === 'failed' && this.#giveUp('ice_failed'), Call.LATE_CANDIDATES_MS);
      }
    };
  }

  /** The path is gone: another one is looked for, while the server can carry the descriptions. */
  #restart() {
    this.#to('reconnecting');
    this.pc.restartIce();
    clearTimeout(this.#restarting);
    this.#restarting = setTimeout(() => {
      if (this.pc.connectionState === 'failed') this.#giveUp('connection_lost');
    }, Call.RESTART_WITHIN_MS);
  }

  /** The server has fresh credentials for the relay: what is gathered from now on uses them. */
  servers(iceServers) {
    this.iceServers = iceServers;
    this.pc?.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
  }

  #giveUp(reason) {
    if (this.over) return;
    this.#tell('call:end', { reason });
    // With the server away as well, it is not the other side that is to blame.
    if (reason === 'connection_lost' && !this.#signaling.online) {
      this.finish({ reason: 'server_lost', message: 'The server has stopped, or this device has lost the network.' });
    } else {
      this.finish({ reason, mine: true });
    }
  }

  async #offer() {
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#tell('signal:offer', { sdp: this.pc.localDescription.sdp });
    } finally {
      this.#makingOffer = false;
    }
  }

  async #addCandidate(candidate) {
    try {
      await this.pc.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#ignoringOffer) console.warn('a candidate was not taken:', error.message);
    }
  }

  /** Descriptions and candidates are applied one after the other, in the order they came. */
  #inTurn(step) {
    this.#queue = this.#queue.then(() => (this.over || !this.pc ? undefined : step())).catch((error) => {
      if (this.over) return;
      this.#tell('call:end', { reason: 'ice_failed' });
      this.finish({ reason: 'error', message: `The browsers could not agree: ${error.message}` });
    });
  }

  /** Sends something about this call. A call that the server no longer has is over. */
  #tell(event, data = {}) {
    this.#signaling.request(event, { callId: this.id, ...data }).catch((error) => {
      if (error.code !== 'call_not_found' && error.code !== 'call_ended') return;
      // Gone while this page was away: the server forgot it in a restart, or did not wait so long.
      if (this.#signaling.losses > this.#lossesBefore) {
        this.finish({ reason: 'server_lost', message: 'The call was gone when it came back: the server was restarted, or this page was away for too long.' });
      } else {
        this.finish({ reason: 'connection_lost' });
      }
    });
  }

  /** In a new session: is the call still there? If not, the refusal ends it here too. */
  recheck() {
    if (this.id && this.pc?.connectionState !== 'disconnected') this.#tell('call:connected');
  }

  #to(state) {
    if (this.over || this.state === state) return;
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}

// ---- What getStats says ------------------------------------------------------------------------

/** Reads the selected candidate pair and the media counters, and rates since the last reading. */
class Meter {
  #last = null;

  async read(pc) {
    const stats = [...(await pc.getStats()).values()];
    const byId = new Map(stats.map((entry) => [entry.id, entry]));
    const transport = stats.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
    // Firefox has no transport entry and marks the pair instead.
    const pair = byId.get(transport?.selectedCandidatePairId)
      ?? stats.find((entry) => entry.type === 'candidate-pair' && entry.selected);
    if (!pair) return null;
    const local = byId.get(pair.localCandidateId);
    const remote = byId.get(pair.remoteCandidateId);
    const inbound = stats.filter((entry) => entry.type === 'inbound-rtp');
    const video = inbound.find((entry) => entry.kind === 'video');
    const heard = stats.find((entry) => entry.type === 'remote-inbound-rtp' && entry.roundTripTime !== undefined);
    const rtt = pair.currentRoundTripTime ?? heard?.roundTripTime;
    const now = { at: pair.timestamp, sent: pair.bytesSent ?? 0, received: pair.bytesReceived ?? 0 };
    const seconds = this.#last ? (now.at - this.#last.at) / 1000 : 0;
    const rate = (key) => (seconds > 0 ? ((now[key] - this.#last[key]) * 8) / seconds : null);
    const reading = {
      path: [local, remote].some((candidate) => candidate?.candidateType === 'relay') ? 'relayed' : 'direct',
      rttMs: rtt === undefined ? null : rtt * 1000,
      candidates: `${local?.candidateType ?? '?'} ↔ ${remote?.candidateType ?? '?'}`,
      protocol: (local?.relayProtocol ?? local?.protocol ?? '').toUpperCase(),
      out: rate('sent'),
      in: rate('received'),
      framesDecoded: video?.framesDecoded ?? null,
      width: video?.frameWidth,
      height: video?.frameHeight,
      fps: video?.framesPerSecond,
      codec: byId.get(video?.codecId)?.mimeType?.split('/')[1],
      lost: inbound.reduce((sum, entry) => sum + (entry.packetsLost ?? 0), 0),
    };
    this.#last = now;
    return reading;
  }
}

// ---- The page ----------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);
const metric = (name) => document.querySelector(`[data-metric="${name}"]`);
const query = new URLSearchParams(location.search);

const people = new Map();
let signaling = null;
let me = '';
let token = '';
let call = null;
let incoming = null;
let clock = 0;
let poll = 0;
let noticeTimer = 0;

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

function paintAvatar(element, name) {
  element.textContent = [...name][0] ?? '';
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  element.dataset.hue = hash % 8;
}

function say(text) {
  $('announcer').textContent = text;
}

function notice(kind, text, forMs = 0) {
  clearTimeout(noticeTimer);
  $('notice').dataset.kind = kind;
  $('notice-text').textContent = text;
  $('notice').hidden = false;
  if (forMs) noticeTimer = setTimeout(quiet, forMs);
}

function quiet() {
  clearTimeout(noticeTimer);
  $('notice').hidden = true;
}

function show(view) {
  document.body.dataset.view = view;
  for (const name of ['sign-in', 'lobby', 'call']) $(`view-${name}`).hidden = name !== view;
  if (view === 'sign-in') $('name').focus();
  else $(`view-${view}`).focus({ preventScroll: true });
}

function title() {
  if (incoming) document.title = `${incoming.name} is calling – callbox`;
  else if (call) document.title = `${call.name} – callbox`;
  else document.title = me ? `${me} – callbox` : 'callbox';
}

function remember() {
  const url = new URL(location);
  if (me) url.searchParams.set('as', me);
  else url.searchParams.delete('as');
  if ($('relay-only').checked) url.searchParams.set('relay', '1');
  else url.searchParams.delete('relay');
  history.replaceState(null, '', url);
}

// -- Signing in --

async function fetchToken({ fresh }) {
  if (token && !fresh) return token;
  const response = await fetch('dev/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ userId: me }),
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error?.message ?? `The server refused (${response.status}).`);
  token = body.token;
  return token;
}

async function signIn(name) {
  me = name.trim();
  if (!me) return;
  $('sign-in').disabled = true;
  try {
    await fetchToken({ fresh: true });
  } catch (error) {
    me = '';
    notice('error', error instanceof TypeError ? 'The server cannot be reached. Is it running?' : error.message);
    return;
  } finally {
    $('sign-in').disabled = false;
  }
  quiet();
  remember();
  $('me-name').textContent = me;
  paintAvatar($('me-avatar'), me);
  $('account').hidden = false;
  $('connection').hidden = false;
  const other = me.toLowerCase() === 'bob' ? 'alice' : 'bob';
  $('second-name').textContent = other;
  $('second-tab').href = `?as=${other}`;

  const url = new URL('ws', location);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = '';
  // A new device for each page: a tab that was duplicated must not push out its twin.
  signaling = new Signaling(url, fetchToken, `web-${crypto.randomUUID().slice(0, 8)}`);
  listen(signaling);
  signaling.start();
  show('lobby');
  title();
  refreshPeople();
}

function signOut() {
  call?.hangUp();
  declineIncoming();
  // The hang-up is under way; the socket may close behind it.
  signaling?.stop();
  signaling = null;
  clearTimeout(poll);
  me = token = '';
  people.clear();
  $('people').replaceChildren();
  $('account').hidden = $('connection').hidden = $('last-call').hidden = true;
  quiet();
  remember();
  title();
  show('sign-in');
}

function connectionChanged(state) {
  const text = { online: 'Connected', connecting: 'Connecting', offline: 'Reconnecting' }[state];
  const before = $('connection').dataset.state;
  // Attempts follow each other: the pill stays on "Reconnecting" until one has worked.
  if (state === 'connecting' && before === 'offline' && $('connection-text').textContent === 'Reconnecting') return;
  $('connection').dataset.state = state;
  $('connection-text').textContent = text;
  if (state === 'offline') {
    notice('warn', call ? 'The connection to the server was lost. Your call goes on while we reconnect.' : 'The connection to the server was lost. Reconnecting…');
  } else if (state === 'online' && before === 'offline') {
    quiet();
  }
}

// -- Who is here --

async function refreshPeople() {
  clearTimeout(poll);
  const asked = signaling;
  try {
    let response = await fetch('dev/online', { headers: { authorization: `Bearer ${token}` } });
    if (response.status === 401) {
      await fetchToken({ fresh: true });
      response = await fetch('dev/online', { headers: { authorization: `Bearer ${token}` } });
    }
    const { users } = await response.json();
    if (signaling === asked) showPeople(users.filter((user) => user.userId !== me));
  } catch {
    // The pill already says that the server is away.
  }
  if (signaling && signaling === asked) poll = setTimeout(refreshPeople, 2000);
}

/** Changes what has changed only, so that the focus stays where it is. */
function showPeople(users) {
  users.sort((a, b) => a.userId.localeCompare(b.userId));
  const here = new Set(users.map((user) => user.userId));
  for (const [id, row] of people) {
    if (here.has(id)) continue;
    row.remove();
    people.delete(id);
  }
  users.forEach((user, index) => {
    let row = people.get(user.userId);
    if (!row) {
      row = personRow(user);
      people.set(user.userId, row);
      $('people').insertBefore(row, $('people').children[index] ?? null);
    }
    const count = Array.isArray(user.devices) ? user.devices.length : user.devices ?? 1;
    const text = count === 1 ? 'Online' : `Online on ${count} devices`;
    const note = row.querySelector('small');
    if (note.textContent !== text) note.textContent = text;
  });
  $('people-count').textContent = users.length;
  $('people-empty').hidden = users.length > 0;
}

function personRow({ userId, name }) {
  const shown = name || userId;
  const row = document.createElement('li');
  row.dataset.user = userId;
  const avatar = document.createElement('span');
  avatar.className = 'avatar';
  avatar.setAttribute('aria-hidden', 'true');
  paintAvatar(avatar, shown);
  const who = document.createElement('span');
  who.className = 'who';
  const bold = document.createElement('b');
  bold.textContent = shown;
  who.append(bold, document.createElement('small'));
  const button = (type, label, glyph) => {
    const element = document.createElement('button');
    element.type = 'button';
    element.className = 'button square';
    element.dataset.action = `call-${type}`;
    element.title = label;
    element.setAttribute('aria-label', `${label} to ${shown}`);
    element.append(icon(glyph));
    element.onclick = () => startCall(userId, type, shown);
    return element;
  };
  row.append(avatar, who, button('audio', 'Audio call', 'phone'), button('video', 'Video call', 'video'));
  return row;
}

function showServers(iceServers = []) {
  const list = iceServers.flatMap(({ urls }) => urls).map((url) => {
    const [scheme] = url.split(':');
    return [scheme.toUpperCase(), url];
  });
  $('servers').replaceChildren(...list.map(([kind, url]) => {
    const row = document.createElement('div');
    const dt = document.createElement('dt');
    dt.textContent = { STUN: 'STUN – what is my address?', TURN: 'TURN – relay for me' }[kind] ?? kind;
    const dd = document.createElement('dd');
    dd.textContent = url;
    row.append(dt, dd);
    return row;
  }));
}

// -- Calls --

function listen(hub) {
  const on = (event, handler) => hub.addEventListener(event, ({ detail }) => {
    if (signaling === hub) handler(detail);
  });
  const ours = (data) => call && (!data.callId || data.callId === call.id);

  on('status', connectionChanged);
  on('session:welcome', ({ iceServers, resumed }) => {
    showServers(iceServers);
    // Whoever still rings is announced again to a new session.
    if (incoming && !resumed) closeIncoming();
    call?.recheck();
    refreshPeople();
  });
  on('call:incoming', ring);
  on('call:ringing', (data) => ours(data) && call.serverState('ringing'));
  on('call:state', ({ call: record }) => ours({ callId: record.id }) && call.serverState(record.state));
  on('call:accepted', (data) => ours(data) && call.outgoing && call.accepted());
  on('signal:offer', (data) => ours(data) && call.description({ type: 'offer', sdp: data.sdp }));
  on('signal:answer', (data) => ours(data) && call.description({ type: 'answer', sdp: data.sdp }));
  on('ice:servers', (data) => ours(data) && call.servers(data.iceServers));
  on('ice:candidate', (data) => ours(data) && call.candidate(data.candidate));
  on('call:ended', (data) => {
    if (incoming && data.callId === incoming.id) {
      summary({ name: closeIncoming().name, outgoing: false }, data);
    } else if (ours(data)) {
      call.finish(data);
    }
  });
  on('call:reconnecting', (data) => ours(data) && call.connectedAt && notice('warn', `${call.name} has lost the connection. Waiting for them to come back…`));
  on('call:reconnected', (data) => ours(data) && quiet());
  on('error', ({ error }) => error && notice('warn', error.message, 8000));
}

function startCall(peer, type, name = peer) {
  if (call || incoming) return;
  begin(new Call(signaling, { peer, name, type, outgoing: true, relayOnly: $('relay-only').checked }));
  call.initiate();
}

function ring({ callId, callerId, callerName, callType, iceServers }) {
  if (call || incoming) {
    signaling.request('call:reject', { callId, reason: 'busy' }).catch(() => {});
    return;
  }
  incoming = { id: callId, peer: callerId, name: callerName ?? callerId, type: callType, iceServers };
  paintAvatar($('incoming-avatar'), incoming.name);
  $('incoming-name').textContent = incoming.name;
  $('incoming-text').textContent = callType === 'video' ? 'wants to talk, with video' : 'wants to talk';
  $('incoming').dataset.caller = callerId;
  $('incoming').dataset.type = callType;
  $('incoming').showModal();
  title();
  tone.start('incoming');
  signaling.request('call:ring', { callId }).catch(() => {});
}

function closeIncoming() {
  tone.stop();
  const it = incoming;
  incoming = null;
  $('incoming').close();
  title();
  return it;
}

function declineIncoming() {
  if (!incoming) return;
  const { id } = closeIncoming();
  signaling.request('call:reject', { callId: id, reason: 'rejected' }).catch(() => {});
}

function answerIncoming() {
  if (!incoming) return;
  begin(new Call(signaling, { ...closeIncoming(), outgoing: false, relayOnly: $('relay-only').checked }));
  call.accept();
}

function begin(next) {
  call = next;
  const meter = new Meter();
  quiet();
  $('last-call').hidden = true;
  $('peer-name').textContent = call.name;
  $('route-peer').textContent = call.name.length > 12 ? `${call.name.slice(0, 11)}…` : call.name;
  paintAvatar($('peer-avatar'), call.name);
  for (const name of ['path', 'rtt', 'candidates', 'transport', 'bitrate-out', 'bitrate-in', 'picture', 'frames-decoded', 'lost', 'call-id']) {
    metric(name).textContent = '–';
    delete metric(name).dataset.value;
  }
  Object.assign($('view-call').dataset, { path: '', type: call.type, picture: 'off' });
  $('spark-line').setAttribute('points', '');
  $('spark-max').textContent = '';
  $('timer').textContent = '0:00';
  const history = { rtt: [], frames: -1, stalled: 0 };

  next.addEventListener('change', showCall);
  next.addEventListener('warning', ({ detail }) => notice('warn', detail, 8000));
  next.addEventListener('picture', ({ detail }) => playRemote(detail));
  next.addEventListener('over', ({ detail }) => endCall(next, detail));
  showCall();
  show('call');
  title();
  if (next.outgoing) tone.start('outgoing');

  clock = setInterval(async () => {
    if (next.connectedAt) $('timer').textContent = duration((Date.now() - next.connectedAt) / 1000);
    if (!next.pc) return;
    const reading = await meter.read(next.pc).catch(() => null);
    if (reading && call === next) showReading(next, reading, history);
  }, 1000);
}

function showCall() {
  const view = $('view-call').dataset;
  const became = view.state !== call.state;
  view.state = call.state;
  if (call.state !== 'initiating' && call.state !== 'ringing') tone.stop();
  $('state').textContent = call.state;
  metric('call-id').textContent = call.id ?? '–';
  const hasCamera = (call.stream?.getVideoTracks().length ?? 0) > 0;
  view.camera = hasCamera ? (call.cameraOn ? 'on' : 'off') : 'none';
  $('camera').hidden = call.type !== 'video';
  $('camera').disabled = !hasCamera;
  $('mic').disabled = !call.stream?.getAudioTracks().length;
  toggleButton($('mic'), !call.micOn && !$('mic').disabled, 'Unmute microphone', 'Mute microphone', 'M');
  toggleButton($('camera'), !call.cameraOn && hasCamera, 'Turn camera on', 'Turn camera off', 'V');
  if ($('local-video').srcObject !== call.stream) $('local-video').srcObject = call.stream;

  const steps = ['initiating', 'ringing', 'connecting', 'connected'];
  const at = steps.indexOf(call.state === 'reconnecting' ? 'connected' : call.state);
  for (const [index, step] of [...$('steps').children].entries()) {
    step.toggleAttribute('data-done', index <= at);
    if (index === at) step.setAttribute('aria-current', 'step');
    else step.removeAttribute('aria-current');
  }
  standIn();
  if (!became) return;
  const spoken = {
    initiating: `Calling ${call.name}`,
    ringing: `Ringing at ${call.name}`,
    connecting: 'Connecting',
    connected: `Connected to ${call.name}`,
    reconnecting: 'The media was interrupted, reconnecting',
  }[call.state];
  if (spoken) say(spoken);
}

function standIn() {
  const text = {
    initiating: call.stream ? 'Calling…' : 'Waiting for your camera and microphone…',
    ringing: 'Ringing…',
    connecting: 'Connecting…',
    connected: call.type === 'video' ? 'No picture from the other side' : 'Audio call',
    reconnecting: 'The media was interrupted. Reconnecting…',
  }[call.state];
  $('stand-in-text').textContent = call.type === 'audio' && call.state === 'initiating' && !call.stream ? 'Waiting for your microphone…' : text ?? '';
}

function toggleButton(button, pressed, whenPressed, whenNot, key) {
  button.setAttribute('aria-pressed', pressed);
  // The state is in the name: a name that changes and a pressed state would say it twice.
  button.setAttribute('aria-label', pressed ? whenPressed : whenNot);
  button.title = `${pressed ? whenPressed : whenNot} (${key})`;
}

async function playRemote(stream) {
  const video = $('remote-video');
  if (video.srcObject !== stream) video.srcObject = stream;
  try {
    await video.play();
  } catch (error) {
    // Without a click on this page the browser plays no sound.
    if (error.name === 'NotAllowedError') $('unblock').hidden = false;
  }
}

function showReading(of, reading, history) {
  const view = $('view-call').dataset;
  view.path = reading.path;
  const put = (name, text, value = text) => {
    const element = metric(name);
    if (element.textContent !== text) element.textContent = text;
    element.dataset.value = value;
  };
  put('path', reading.path, reading.path);
  if (reading.rttMs !== null) {
    put('rtt', reading.rttMs < 1 ? '< 1 ms' : `${Math.round(reading.rttMs)} ms`, reading.rttMs);
    history.rtt = [...history.rtt, reading.rttMs].slice(-60);
    drawSpark(history.rtt);
  }
  put('candidates', reading.candidates);
  put('transport', `${reading.protocol}, encrypted`);
  if (reading.out !== null) put('bitrate-out', bitrate(reading.out));
  if (reading.in !== null) put('bitrate-in', bitrate(reading.in));
  put('lost', String(reading.lost));
  if (reading.framesDecoded !== null) {
    put('frames-decoded', reading.framesDecoded.toLocaleString('en'), reading.framesDecoded);
    if (reading.width) {
      const parts = [`${reading.width} × ${reading.height}`];
      if (reading.fps) parts.push(`${Math.round(reading.fps)} fps`);
      if (reading.codec) parts.push(reading.codec);
      put('picture', parts.join(' · '));
    }
    // The other side's camera may be off, or its network gone: no new frame for three seconds.
    history.stalled = reading.framesDecoded > history.frames ? 0 : history.stalled + 1;
    history.frames = reading.framesDecoded;
    const picture = reading.framesDecoded > 0 && history.stalled < 3 ? 'on' : 'off';
    if (view.picture !== picture) {
      view.picture = picture;
      standIn();
    }
  }
}

function drawSpark(values) {
  const top = Math.max(2, ...values) * 1.15;
  const points = values.map((value, index) => {
    const x = 120 - (values.length - 1 - index) * (120 / 59);
    return `${x.toFixed(1)},${(33 - (value / top) * 31).toFixed(1)}`;
  });
  $('spark-line').setAttribute('points', points.join(' '));
  $('spark-max').textContent = `at most ${Math.max(1, Math.ceil(Math.max(...values)))} ms`;
}

function bitrate(bits) {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bits / 1000)} kbit/s`;
}

function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function endCall(ended, end) {
  if (call !== ended) return;
  call = null;
  clearInterval(clock);
  tone.stop();
  for (const id of ['remote-video', 'local-video']) $(id).srcObject = null;
  $('unblock').hidden = true;
  $('view-call').dataset.state = 'ended';
  show('lobby');
  title();
  summary(ended, end, $('view-call').dataset.path);
  // The notice must not go on about a call that goes on.
  if (!$('notice').hidden && $('connection').dataset.state === 'offline') connectionChanged('offline');
  refreshPeople();
}

/** What happened, in a sentence, above the list of people. */
function summary({ name, outgoing, connectedAt }, { reason, endedBy, mine, message, code }, path = '') {
  const byMe = mine || endedBy === me;
  const relayOnly = $('relay-only').checked;
  const said = {
    hangup: [byMe ? `You ended the call with ${name}` : `${name} ended the call`],
    rejected: byMe ? [`You declined ${name}’s call`] : [`${name} declined`, 'Try again later.'],
    busy: outgoing ? [`${name} is busy`, 'They are in another call. Try again in a moment.'] : [`${name} called while you were busy`],
    offline: [`${name} is not online`, 'Nobody is signed in under this name right now.'],
    timeout: outgoing ? [`${name} did not answer`, 'It rang until the ring time was over.'] : [`You missed a call from ${name}`],
    cancelled: byMe ? ['You cancelled the call'] : [`You missed a call from ${name}`, 'They hung up before you answered.'],
    answered_elsewhere: ['Answered on another device'],
    rejected_elsewhere: ['Declined on another device'],
    ice_failed: [`No way through to ${name}`, relayOnly ? 'The relay could not be reached, or the other side could not. Try again without “Relay only”.' : 'Neither a direct path nor the relay worked. Is a firewall in the way of UDP?'],
    connection_lost: [`The connection to ${name} was lost`, 'One of you has lost the network, or closed the page.'],
    server_lost: ['The connection to the server was lost', message],
    server_shutdown: ['The server is shutting down', 'It ended all calls.'],
    kicked: ['The call was ended by an administrator'],
    credentials_revoked: ['The relay credentials were withdrawn', 'The server ended the call.'],
    unauthorized: [`You may not call ${name}`],
    error: [code === 'connection_lost' ? 'The server did not answer' : 'The call could not be made', message],
  }[reason] ?? [`The call with ${name} has ended`, reason];
  const facts = connectedAt ? [duration((Date.now() - connectedAt) / 1000), path].filter(Boolean).join(' · ') : '';
  $('last-call').dataset.reason = reason;
  $('last-call').dataset.tone = ['hangup', 'cancelled', 'answered_elsewhere', 'rejected_elsewhere'].includes(reason) || byMe && reason === 'rejected' ? 'plain' : 'bad';
  $('last-call-title').textContent = said[0];
  $('last-call-text').textContent = [facts, said[1]].filter(Boolean).join(' – ');
  $('last-call').hidden = false;
}

// -- The bell --

/** Two short notes, over and over; silent until the person has touched the page. */
const tone = {
  context: null,
  timer: 0,
  start(kind) {
    this.stop();
    if (!navigator.userActivation?.hasBeenActive) return;
    this.context ??= new AudioContext();
    const notes = kind === 'incoming' ? [659, 784] : [440, 440];
    const play = () => notes.forEach((pitch, index) => {
      const at = this.context.currentTime + index * 0.24;
      const oscillator = new OscillatorNode(this.context, { frequency: pitch });
      const gain = new GainNode(this.context, { gain: 0 });
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(kind === 'incoming' ? 0.09 : 0.035, at + 0.02);
      gain.gain.exponentialRampToValueAtTime(0.0005, at + 0.22);
      oscillator.connect(gain).connect(this.context.destination);
      oscillator.start(at);
      oscillator.stop(at + 0.24);
    });
    play();
    this.timer = setInterval(play, kind === 'incoming' ? 1800 : 3000);
  },
  stop() {
    clearInterval(this.timer);
  },
};

// -- Wiring --

$('sign-in-form').onsubmit = (event) => {
  event.preventDefault();
  signIn($('name').value);
};
$('dial').onsubmit = (event) => {
  event.preventDefault();
  const peer = $('dial-name').value.trim();
  if (!peer) return;
  if (peer === me) return notice('warn', 'That is you. Sign in under another name in a second tab.', 6000);
  $('dial-name').value = '';
  startCall(peer, event.submitter?.value === 'audio' ? 'audio' : 'video');
};
$('sign-out').onclick = signOut;
$('notice-close').onclick = quiet;
$('last-call-close').onclick = () => { $('last-call').hidden = true; };
$('relay-only').onchange = remember;
$('answer').onclick = answerIncoming;
$('decline').onclick = declineIncoming;
// Escape must not close the card: the caller would ring on unheard.
$('incoming').addEventListener('cancel', (event) => event.preventDefault());
$('mic').onclick = () => call?.toggleMic();
$('camera').onclick = () => call?.toggleCamera();
$('hang-up').onclick = () => call?.hangUp();
$('unblock').onclick = () => {
  $('unblock').hidden = true;
  $('remote-video').play().catch(() => {});
};
addEventListener('keydown', (event) => {
  if (!call || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === 'm') $('mic').click();
  if (event.key === 'v') $('camera').click();
});
addEventListener('pagehide', () => call?.abandon());

$('relay-only').checked = query.get('relay') === '1';
if (query.get('as')) signIn(query.get('as'));
else show('sign-in');
