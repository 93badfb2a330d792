// @callbox/client: calls through a callbox server, from a web page. No dependency, no build step.
//
//   const box = await connect('https://callbox.example', { token });
//   const call = await box.call('bob', { video: true });
//   box.on('incoming', (call) => call.accept());
//
// Top to bottom: errors and events; `Connection`, the socket and the session that outlives it; media
// and statistics; `Peer`, one peer connection; `Call`, which has one; `Room`, which has one for each of
// the others; `Box`, which `connect` gives.
// Types are in callbox.d.ts, the protocol is docs/protocol.md of the server.

// ---- Errors and events -------------------------------------------------------------------------

/** What the server refused, or what did not work here; `code` is for programs. */
export class CallboxError extends Error {
  constructor({ code, message, retryAfterMs }) {
    super(message ?? code);
    this.name = 'CallboxError';
    this.code = code;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}

const failure = (code, message) => new CallboxError({ code, message });

class Emitter {
  #handlers = new Map();

  /** Gives a function that takes the handler off again. */
  on(event, handler) {
    if (!this.#handlers.has(event)) this.#handlers.set(event, new Set());
    this.#handlers.get(event).add(handler);
    return () => this.off(event, handler);
  }

  once(event, handler) {
    const off = this.on(event, (...details) => {
      off();
      handler(...details);
    });
    return off;
  }

  off(event, handler) {
    this.#handlers.get(event)?.delete(handler);
  }

  /** Gives whether anybody listens. A handler that throws stops neither the others nor the call. */
  emit(event, ...details) {
    const handlers = [...(this.#handlers.get(event) ?? [])];
    for (const handler of handlers) {
      try {
        handler(...details);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
    return handlers.length > 0;
  }
}

const randomName = () => [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(36).padStart(2, '0')).join('');

// ---- Connection --------------------------------------------------------------------------------

/** How long a request may wait for its answer, the time without a connection included. */
const ANSWER_WITHIN_MS = 10_000;
/** Nothing heard for so long, with something to be heard: the connection is dead. */
const SILENT_FOR_MS = 5_000;
/** The server may have to fetch the keys of the token's issuer first. */
const WELCOMED_WITHIN_MS = 10_000;
const FIRST_DELAY_MS = 400;
const LONGEST_DELAY_MS = 10_000;
const ACKNOWLEDGE_AFTER_MS = 1_000;
const ACKNOWLEDGE_EVERY = 32;

/** Says "I come back", where 1000 would end the session (docs/protocol.md, "Resuming a session"). */
const COME_BACK = 4000;
/** Closes after which another try would end the same way: a foreign origin, replaced, kicked. */
const FINAL_CLOSES = [4403, 4409, 4410];
const UNAUTHORIZED = 4401;
/** What was sent is longer than the server takes. */
const TOO_LONG = 1009;

/**
 * The socket, and the session that outlives it. Connects again by itself, with back-off and jitter, and
 * goes on with the session: each event comes once and in order, and a request whose answer was lost is
 * made again, which the server knows by its `msgId`. Emits `state` and, for each event of the server,
 * `event`.
 */
class Connection extends Emitter {
  state = 'connecting';
  #url;
  #token;
  #deviceId;
  #socket = null;
  /** Promise functions of `open`, until the first welcome. */
  #opening = null;
  #attempt = 0;
  #retryTimer = 0;
  #silenceTimer = 0;
  /** Whether the token was refused, so that the same one is no use again. */
  #tokenIsStale = false;
  /** When the server said that it stops: how long it wants to be left alone. */
  #drainedMs = null;
  /** What is not answered yet, by id and in the order in which it was asked. */
  #requests = new Map();
  #nextId = 1;
  /** The server has no time for requests now. */
  #pauseTimer = 0;
  /** Events that wait for answers, and what they wait for. */
  #held = [];
  #holding = null;
  /** The session, the number of the last event that came, and of the last that was acknowledged. */
  #session = null;
  #seq = 0;
  #acknowledged = 0;
  #acknowledgeTimer = 0;

  constructor(url, token, deviceId) {
    super();
    this.#url = url;
    this.#token = token;
    this.#deviceId = deviceId;
  }

  /** The first connection has to succeed: a wrong address or token is told at once. */
  open() {
    return new Promise((resolve, reject) => {
      this.#opening = { resolve, reject };
      this.#connect();
    });
  }

  /** Leaves for good: the server ends the session. */
  close() {
    this.#shut(null);
  }

  /**
   * Makes a request as soon as there is a session, and gives its answer. A patient one has no deadline.
   * `late` is called with the good answer of one that was given up, and that the server heard all the same.
   */
  request(event, data = {}, { patient = false, late = null } = {}) {
    if (this.state === 'closed') return Promise.reject(failure('closed', 'The connection to the server is closed.'));
    const id = this.#nextId++;
    const request = { id, patient, sent: false, wasSent: false, givenUp: false, timer: 0 };
    request.answer = new Promise((resolve, reject) => {
      Object.assign(request, { resolve, reject });
      // What is no JSON throws here, and not when its turn comes.
      request.text = JSON.stringify({ event, id, data: { ...data, msgId: randomName() } });
      if (!patient) request.timer = setTimeout(() => this.#giveUp(request, late), ANSWER_WITHIN_MS);
      this.#requests.set(id, request);
      this.#flush();
    });
    return request.answer;
  }

  #giveUp(request, late) {
    request.reject(failure('connection_lost', 'The server did not answer.'));
    Object.assign(request, { givenUp: true, resolve: late });
    if (!late || !request.wasSent) this.#requests.delete(request.id);
  }

  /** The network is back: no more waiting. */
  hurry() {
    if (!this.#retryTimer) return;
    clearTimeout(this.#retryTimer);
    this.#connect();
  }

  async #connect() {
    this.#retryTimer = 0;
    let token = this.#token;
    if (typeof token === 'function') {
      try {
        token = await token({ fresh: this.#tokenIsStale });
      } catch (error) {
        return this.#lost(failure('no_token', `There is no token: ${error?.message ?? error}`));
      }
    }
    if (this.state === 'closed') return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#expectSomething(WELCOMED_WITHIN_MS);
    socket.onopen = () => {
      const data = { token, protocol: 1, deviceId: this.#deviceId };
      if (this.#session) data.resume = { sessionId: this.#session, seq: this.#seq };
      this.#send({ event: 'session:hello', id: this.#nextId++, data });
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      // The server's reasons are a code word, a colon, and words for a person.
      const [, word, words] = /^(\w+): (.*)/.exec(reason ?? '') ?? [null, 'connection_lost', 'The server cannot be reached.'];
      const refused = code === UNAUTHORIZED;
      this.#tokenIsStale ||= refused;
      if (code === TOO_LONG) this.#refuseLongest(failure(word, words));
      this.#lost(failure(word, words), FINAL_CLOSES.includes(code) || (refused && typeof this.#token !== 'function'));
    };
  }

  #send(frame) {
    this.#socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Sends what has not been sent on this connection yet, in order. */
  #flush() {
    if (this.state !== 'connected' || this.#pauseTimer) return;
    for (const request of this.#requests.values()) {
      if (request.sent) continue;
      request.sent = request.wasSent = true;
      this.#send(request.text);
      this.#expectSomething();
    }
  }

  #receive({ event, re, seq, data }) {
    if (seq !== undefined) this.#count(seq);
    if (event === 'session:welcome') this.#welcome(data);
    else if (re !== undefined) this.#answer(this.#requests.get(re), data);
    if (event === 'server:draining') this.#drainedMs = data.reconnectAfterMs;
    if (event === 'auth:expiring') this.#refresh();
    if (event) this.#tell(event, data);
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = 0;
    if ([...this.#requests.values()].some(({ sent }) => sent)) this.#expectSomething();
  }

  #welcome({ sessionId, resumed }) {
    if (!resumed) {
      this.#seq = this.#acknowledged = 0;
      // A new session is told of each call that it is in.
      for (const { id, givenUp } of this.#requests.values()) if (givenUp) this.#requests.delete(id);
    }
    this.#session = sessionId;
    this.#attempt = 0;
    this.#tokenIsStale = false;
    this.#to('connected');
    this.#opening?.resolve();
    this.#opening = null;
    this.#hold();
    this.#flush();
  }

  #tell(event, data) {
    if (this.#holding && event !== 'session:welcome') this.#held.push([event, data]);
    else this.emit('event', event, data);
  }

  /**
   * The answer to a request comes before what it sets off. Where it was lost it comes again, but after
   * what was missed: that waits for it, and for whoever has asked.
   */
  #hold() {
    const asked = [...this.#requests.values()].filter(({ patient, wasSent, givenUp }) => !patient && wasSent && !givenUp);
    const holding = (this.#holding = Promise.allSettled(asked.map(({ answer }) => answer)));
    holding.then(() => {
      if (this.#holding !== holding || this.state === 'closed') return;
      this.#holding = null;
      for (const [event, data] of this.#held.splice(0)) this.emit('event', event, data);
    });
  }

  #answer(request, data) {
    // Whoever asked has given up, or it is a hello that is refused, and the close says why.
    if (!request) return;
    if (request.patient && data.error?.code === 'rate_limited') {
      request.sent = false;
      this.#pauseTimer ||= setTimeout(() => {
        this.#pauseTimer = 0;
        this.#flush();
      }, data.error.retryAfterMs ?? ACKNOWLEDGE_AFTER_MS);
      return;
    }
    this.#requests.delete(request.id);
    clearTimeout(request.timer);
    if (data.ok) request.resolve(data);
    else request.reject(new CallboxError(data.error));
  }

  /** The server does not say which one it was. The longest of those it did not answer is one that it would not take. */
  #refuseLongest(error) {
    const sent = [...this.#requests.values()].filter(({ sent }) => sent);
    const bytes = ({ text }) => new TextEncoder().encode(text).length;
    const longest = sent.sort((one, other) => bytes(other) - bytes(one))[0];
    if (longest) this.#answer(longest, { ok: false, error });
  }

  /** Not each event is acknowledged by itself: the server keeps more than this. */
  #count(seq) {
    this.#seq = seq;
    if (seq - this.#acknowledged >= ACKNOWLEDGE_EVERY) this.#acknowledge();
    else this.#acknowledgeTimer ||= setTimeout(() => this.#acknowledge(), ACKNOWLEDGE_AFTER_MS);
  }

  #acknowledge() {
    clearTimeout(this.#acknowledgeTimer);
    this.#acknowledgeTimer = 0;
    this.#acknowledged = this.#seq;
    this.#send({ ack: this.#seq });
  }

  /** A token given as a text cannot be renewed: the server closes the connection in time. */
  async #refresh() {
    if (typeof this.#token !== 'function') return;
    try {
      const token = await this.#token({ fresh: true });
      await this.request('auth:refresh', { token });
    } catch {
      // The same in this case, and the next connection brings a fresh one.
      this.#tokenIsStale = true;
    }
  }

  /** A connection can die without a sign, when a phone changes its network for example. */
  #expectSomething(withinMs = SILENT_FOR_MS) {
    this.#silenceTimer ||= setTimeout(() => {
      const socket = this.#socket;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(COME_BACK);
      this.#lost(failure('connection_lost', 'The server does not answer.'));
    }, withinMs);
  }

  #lost(error, final = false) {
    this.#forgetSocket();
    if (this.state === 'closed') return;
    if (final || this.#opening) return this.#shut(error);
    this.#to('reconnecting');
    const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    // Half fixed, half random: pages that lost the server together do not return together.
    const delay = this.#drainedMs ?? ceiling * (0.5 + Math.random() / 2);
    this.#drainedMs = null;
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
  }

  #forgetSocket() {
    this.#socket = null;
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#acknowledgeTimer);
    clearTimeout(this.#pauseTimer);
    this.#silenceTimer = this.#acknowledgeTimer = this.#pauseTimer = 0;
    // Whether these were heard is not known: they are made again.
    for (const request of this.#requests.values()) request.sent = false;
  }

  #shut(error) {
    if (this.state === 'closed') return;
    this.#socket?.close(1000);
    this.#forgetSocket();
    clearTimeout(this.#retryTimer);
    this.#to('closed', error);
    const why = error ?? failure('closed', 'The connection to the server is closed.');
    this.#opening?.reject(why);
    for (const request of this.#requests.values()) {
      clearTimeout(request.timer);
      request.reject(why);
    }
    this.#requests.clear();
  }

  #to(state, error) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state, error);
  }
}

// ---- Media -------------------------------------------------------------------------------------

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' };

/**
 * Opens what is wanted of microphone and camera. What is not there is left out, and named in `missing`;
 * what is forbidden is an error, since the person can change that.
 */
async function openMedia({ audio = true, video = false, stream = null }) {
  if (stream) return { stream, missing: [] };
  if (video === true) video = CAMERA;
  if (!audio && !video) return { stream: new MediaStream(), missing: [] };
  if (!navigator.mediaDevices) {
    throw failure('media_unavailable', 'Browsers give the camera and microphone only to pages from https:// or localhost. Open this page under one of these.');
  }
  const tries = [[audio, video]];
  if (audio && video) tries.push([audio, false], [false, video]);
  for (const [sound, picture] of tries) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: sound, video: picture });
      const missing = [audio && !sound && 'audio', video && !picture && 'video'];
      return { stream, missing: missing.filter(Boolean) };
    } catch (error) {
      if (error.name === 'NotAllowedError' || error.name === 'SecurityError') {
        const what = audio && video ? 'The camera and the microphone are' : video ? 'The camera is' : 'The microphone is';
        throw failure('media_denied', `${what} blocked for this page. Allow access in the address bar, then try again.`);
      }
    }
  }
  return { stream: new MediaStream(), missing: [audio && 'audio', video && 'video'].filter(Boolean) };
}

const stopTracks = (tracks) => tracks.forEach((track) => track.stop());

/** Reads what getStats says of the path and the media, and rates since its last reading. */
class Meter {
  #last = null;
  #pc = null;

  async read(pc) {
    const report = await pc.getStats();
    // Another connection counts from zero.
    if (pc !== this.#pc) this.#last = null;
    this.#pc = pc;
    const stats = [...report.values()];
    const transport = stats.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
    // Firefox has no transport entry and marks the pair instead.
    const pair = report.get(transport?.selectedCandidatePairId)
      ?? stats.find((entry) => entry.type === 'candidate-pair' && entry.selected);
    if (!pair) return null;
    const local = report.get(pair.localCandidateId);
    const remote = report.get(pair.remoteCandidateId);
    const inbound = stats.filter((entry) => entry.type === 'inbound-rtp');
    const sum = (name) => inbound.reduce((total, entry) => total + (entry[name] ?? 0), 0);
    const video = inbound.find((entry) => entry.kind === 'video');
    const heard = stats.find((entry) => entry.type === 'remote-inbound-rtp' && entry.roundTripTime !== undefined);
    const seconds = (value) => (value === undefined ? null : value * 1000);
    const jitter = inbound.map((entry) => entry.jitter).filter((value) => value !== undefined);
    const now = {
      at: pair.timestamp,
      out: pair.bytesSent ?? 0,
      in: pair.bytesReceived ?? 0,
      lost: sum('packetsLost'),
      packets: sum('packetsReceived') + sum('packetsLost'),
    };
    const since = (name) => now[name] - (this.#last?.[name] ?? 0);
    const rate = (name) => (this.#last && since('at') > 0 ? (since(name) * 8000) / since('at') : null);
    const reading = {
      path: local?.candidateType ?? null,
      remotePath: remote?.candidateType ?? null,
      relayed: local?.candidateType === 'relay' || remote?.candidateType === 'relay',
      protocol: local?.relayProtocol ?? local?.protocol ?? null,
      rttMs: seconds(pair.currentRoundTripTime ?? heard?.roundTripTime),
      jitterMs: seconds(jitter.length ? Math.max(...jitter) : undefined),
      packetsLost: now.lost,
      // Packets that came late can make the loss less than it was.
      lossPercent: since('packets') > 0 ? Math.min(100, Math.max(0, (100 * since('lost')) / since('packets'))) : null,
      bitrateOut: rate('out'),
      bitrateIn: rate('in'),
      framesDecoded: video?.framesDecoded ?? null,
      frameWidth: video?.frameWidth ?? null,
      frameHeight: video?.frameHeight ?? null,
      framesPerSecond: video?.framesPerSecond ?? null,
      codec: report.get(video?.codecId)?.mimeType?.split('/')[1] ?? null,
    };
    this.#last = now;
    return reading;
  }
}

/**
 * What is sent to the other side of a call, or to the others in a room: opened once, then muted, held or
 * hidden. Whoever extends it has `peers`, `over`, and `mediaChanged()`, which tells the others.
 */
class Sender extends Emitter {
  localStream = null;
  missing = [];
  muted = false;
  held = false;
  cameraOff = false;
  /** A stream that was given belongs to who gave it. */
  #given = false;

  get sendsVideo() {
    return !this.cameraOff && this.tracks('video').length > 0;
  }

  mute(muted = true) {
    this.muted = muted;
    this.applyMedia();
  }

  setCamera(on = true) {
    this.cameraOff = !on;
    this.applyMedia();
  }

  hold(held = true) {
    this.held = held;
    this.applyMedia();
  }

  tracks(kind) {
    return this.localStream?.getTracks().filter((track) => track.kind === kind) ?? [];
  }

  async open(options) {
    this.#given = Boolean(options.stream);
    const { stream, missing } = await openMedia(options);
    if (this.over) return void this.release(stream.getTracks());
    this.localStream = stream;
    this.missing = missing;
    this.applyMedia();
    this.emit('localstream', stream, missing);
  }

  release(tracks = this.localStream?.getTracks() ?? []) {
    if (!this.#given) stopTracks(tracks);
  }

  /** Lets a new peer have it. Whoever makes the first offer also says what is to come. */
  sendTo(peer, offers) {
    for (const track of this.localStream.getTracks()) peer.add(track, this.localStream);
    if (!offers) return;
    // Without a device of our own we still want to see and hear.
    if (!this.tracks('audio').length) peer.pc.addTransceiver('audio', { direction: 'recvonly' });
    if (this.type === 'video' && !this.tracks('video').length) peer.pc.addTransceiver('video', { direction: 'recvonly' });
  }

  /** Brings what is sent in line with `muted`, `cameraOff` and `held`. */
  applyMedia() {
    for (const track of this.localStream?.getTracks() ?? []) {
      track.enabled = track.kind === 'audio' ? !this.muted : !this.cameraOff;
    }
    for (const peer of this.peers) this.bringInLine(peer);
    if (!this.over) this.mediaChanged();
  }

  /** Whoever is muted sends silence, and for a hidden picture nothing. */
  bringInLine(peer) {
    for (const track of this.localStream?.getTracks() ?? []) {
      peer.sends(track, !this.held && (track.kind === 'audio' || track.enabled));
    }
    peer.plays(!this.held);
  }

  /** Whether the others take for granted what is sent. */
  get sendsAsUsual() {
    return !this.muted && !this.held && this.sendsVideo === (this.type === 'video');
  }

  /** In the words of `media:update`. */
  get media() {
    return { muted: this.muted, video: this.sendsVideo, held: this.held };
  }
}

// ---- A peer ------------------------------------------------------------------------------------

/** "Failed" is said when the candidates so far have failed. Better ones may be on their way. */
const LATE_CANDIDATES_MS = 8_000;
/** A path that is interrupted often comes back by itself. */
const INTERRUPTED_FOR_MS = 3_000;
const REPAIRED_WITHIN_MS = 35_000;
/** Without any candidate a browser looks for a first path for ever. */
const FOUND_WITHIN_MS = 45_000;
/** Without the server no new path can be agreed on, so the wait for it is longer. */
const SERVER_AWAY_MS = 45_000;
/** The other side offers where both change something. One that does not know of that is not waited for longer. */
const THEIR_OFFER_MS = 5_000;
/** For how long a description of a restart waits for its candidates, at most. */
const GATHERED_WITHIN_MS = 1_000;
/** The same of an answer to Firefox that has none yet: with none in five seconds its ICE fails. */
const FIRST_CANDIDATE_MS = 4_000;

/** The two parts in a DTLS handshake, as `a=setup` names them. */
const OTHER_PART = { active: 'passive', passive: 'active' };

const partIn = (sdp) => /^a=setup:(active|passive)/m.exec(sdp)?.[1] ?? null;

/** Puts a part that is decided in the place of a free choice. */
const withPart = (sdp, part) => (part ? sdp.replace(/^a=setup:actpass/gm, `a=setup:${part}`) : sdp);

/** Firefox says in each description who made it. Chromium does not keep that of a description that it got. */
const isFirefox = (sdp) => /^o=mozilla/m.test(sdp);

const ufragIn = (description) => /^a=ice-ufrag:(\S+)/m.exec(description?.sdp)?.[1];

/** The certificates that a description names. */
const certificates = (sdp) => [...new Set(sdp.match(/^a=fingerprint:.*/gm))].sort().join();

/**
 * One RTCPeerConnection at a time: descriptions by the W3C's "perfect negotiation", candidates as they come,
 * and another path when this one breaks. Where the browser cannot go on over a connection that has failed,
 * both sides go on over another one, with the same tracks. What it needs of the server it does by `signaling`:
 * `tell(event, data)`, `freshServers()`, `isAway()` and `otherIsAway()`.
 *
 * Once the two have agreed for the first time, a negotiation that fails ends nothing: the side where it
 * failed takes it back, tells the other by `refused` in an `ice:candidate` without a candidate, and it is
 * tried once more with the parts of offer and answer exchanged (docs/negotiation.md of the server).
 *
 * Emits `path` (`connected`, `interrupted` or `lost`, the last with a reason), `stream`, `failed` when the
 * browsers could not agree at first, and `warning` when they could not later.
 */
class Peer extends Emitter {
  #pc;
  #config;
  #signaling;
  /** Whether we give way when two offers cross. */
  #polite;
  #ignoringOffer = false;
  #negotiated = false;
  /** Our part in the DTLS handshake, once an answer has decided it. */
  #part = null;
  /** The RTP extensions by their numbers, as they were first used. */
  #extensions = new Map();
  /** Runs while the next offer is the other side's, and whether we have something to offer meanwhile. */
  #theirOfferTimer = 0;
  #offersLater = false;
  #restartsLater = false;
  /** How many negotiations have failed since there was a reason for one, and whether this one is a second try. */
  #failures = 0;
  #triesAgain = false;
  /** Nothing is offered until there is a new reason. */
  #gaveUp = false;
  /** The last description of the other side, and candidates that came before one. */
  #described = '';
  #candidates = [];
  #queue = Promise.resolve();
  #senders = new Map();
  #streams = new Map();
  /** Tracks that no transceiver is there for yet, and whether they are to be sent. */
  #homeless = new Map();
  /** Transceivers whose medium was taken back: Chromium shows nothing of one that is used again. */
  #takenBack = new WeakSet();
  /** Set once something was agreed on over this connection and not received for a while. */
  #hasPaused = false;
  #wasConnected = false;
  #wasLost = false;
  /** Waits for fresh credentials, and then restarts. */
  #refreshing = null;
  #restarting = null;
  /** The browser sends nothing over this connection any more, and another one is about to take its place. */
  #isBroken = false;
  /** Whether this one has taken another's place and has not been connected yet. */
  #isReplacement = false;
  /** The last description that the other side made for the connection before, and whether an answer of it may still come. */
  #replaced = '';
  #answerIsLate = false;
  #restartTimer = 0;
  /** Whether another restart follows, if this one comes to nothing. */
  #looksFurther = false;
  #patience = 0;
  /** The application has servers of its own. */
  #ownServers;

  constructor(iceServers, config, polite, signaling) {
    super();
    this.#polite = polite;
    this.#signaling = signaling;
    this.#ownServers = Boolean(config.iceServers);
    this.#config = { iceServers, ...config };
    this.#open();
    this.#hope();
  }

  get pc() {
    return this.#pc;
  }

  #open() {
    const pc = new RTCPeerConnection(this.#config);
    this.#pc = pc;
    this.#hasPaused = false;
    pc.onicecandidate = ({ candidate }) => candidate && this.#signaling.tell('ice:candidate', { candidate });
    pc.ontrack = ({ track, streams }) => this.emit('stream', streams[0] ?? new MediaStream([track]));
    // The first offer is the caller's, and made when the call is accepted.
    pc.onnegotiationneeded = () => this.#negotiated && this.#offer();
    pc.onconnectionstatechange = () => this.#pathIs(pc.connectionState);
  }

  #shut() {
    this.#stopLooking();
    clearTimeout(this.#theirOfferTimer);
    const pc = this.#pc;
    pc.onconnectionstatechange = pc.onicecandidate = pc.ontrack = pc.onnegotiationneeded = null;
    pc.close();
  }

  close() {
    this.#stopHoping();
    this.#shut();
  }

  // -- What it sends --

  /**
   * Sends a track too: at first, or from the next agreement on. Where something of its kind was sent before,
   * or only comes, it is sent: descriptions do not grow.
   */
  add(track, stream) {
    this.#streams.set(track, stream);
    if (!this.#negotiated) this.#senders.set(track, this.#pc.addTrack(track, stream));
    else if (!this.#useIdle(track)) this.#homeless.set(track, true);
  }

  /** Sends a track over a transceiver that has none, if there is one; of those taken back only in an offer of ours. */
  #useIdle(track, weOffer = false) {
    const used = [...this.#senders.values()];
    const all = this.#pc.getTransceivers().filter(({ sender, receiver }) => receiver.track.kind === track.kind && !used.includes(sender));
    const idle = all.find((each) => !this.#takenBack.has(each)) ?? (weOffer ? all[0] : undefined);
    if (!idle) return false;
    idle.sender.setStreams(this.#streams.get(track));
    idle.direction = 'sendrecv';
    this.#senders.set(track, idle.sender);
    this.sends(track, true);
    return true;
  }

  /**
   * Finds a transceiver for each track that has none, now that there is an offer: one that it brings, or a new
   * one in ours. None that `addTrack` makes: Chromium uses such a one also after it was taken back, and then
   * shows nothing of what comes.
   */
  #takeIn(weOffer) {
    for (const [track, sent] of this.#homeless) {
      if (!this.#useIdle(track, weOffer)) {
        if (!weOffer) continue;
        const { sender } = this.#pc.addTransceiver(track, { streams: [this.#streams.get(track)] });
        this.#senders.set(track, sender);
      }
      this.#homeless.delete(track);
      this.sends(track, sent);
    }
  }

  remove(track) {
    this.#homeless.delete(track);
    if (this.#senders.has(track)) this.#pc.removeTrack(this.#senders.get(track));
    this.#senders.delete(track);
    this.#streams.delete(track);
  }

  /** Lets something of a kind come, also if nothing of it is sent. */
  #receive(kind) {
    const there = this.#pc.getTransceivers().find(({ receiver }) => receiver.track.kind === kind);
    if (!there) this.#pc.addTransceiver(kind, { direction: 'recvonly' });
    else if (there.direction === 'inactive') there.direction = 'recvonly';
    else if (there.direction === 'sendonly') there.direction = 'sendrecv';
  }

  /** Sends a track that was added, or nothing in its place: less than silence and black frames. */
  sends(track, on) {
    if (this.#homeless.has(track)) this.#homeless.set(track, on);
    const sender = this.#senders.get(track);
    const sent = on ? track : null;
    // One that has just been closed refuses, and that is all right.
    if (sender && sender.track !== sent) sender.replaceTrack(sent).catch(() => {});
  }

  /** Whether what comes can be heard and seen. */
  plays(on) {
    for (const { track } of this.#pc.getReceivers()) track.enabled = on;
  }

  // -- Its path --

  /** What is gathered from now on uses these. */
  setServers(iceServers) {
    if (this.#ownServers) return;
    this.#config.iceServers = iceServers;
    this.#pc.setConfiguration?.({ ...this.#pc.getConfiguration(), iceServers });
  }

  /**
   * Gets fresh credentials for the relay. An offer that comes meanwhile is answered with these: candidates for
   * it are gathered from the relay that there is now.
   */
  refresh() {
    // Who is waiting for the server already need not wait twice.
    this.#refreshing ??= this.#signaling.freshServers().then((iceServers) => {
      this.#refreshing = null;
      if (iceServers && this.#pc.signalingState !== 'closed') this.setServers(iceServers);
    });
    return this.#refreshing;
  }

  /** Looks for another path, with fresh credentials for the relay. */
  restart() {
    if (this.#isBroken) return this.#replace();
    this.#restarting ??= this.refresh().then(() => {
      this.#restarting = null;
      if (this.#pc.signalingState === 'closed' || this.#isBroken) return;
      this.#thereIsAReason();
      if (this.#restartsAreOurs ?? true) return this.#restartIce();
      this.#signaling.tell('ice:candidate', { candidate: null, wants: 'restart' });
      this.#restartsLater = true;
      this.#awaitOffer();
    });
    return this.#restarting;
  }

  /** The other side wants one. If ours is on its way it gets what it wants. */
  #wanted() {
    const { pendingLocalDescription, currentLocalDescription } = this.#pc;
    if (!pendingLocalDescription || ufragIn(pendingLocalDescription) === ufragIn(currentLocalDescription)) this.restart();
  }

  #restartIce() {
    // Old versions of Safari have none.
    if (this.#pc.restartIce) this.#pc.restartIce();
    else this.#offer({ iceRestart: true });
  }

  /**
   * Between Firefox and others it is Firefox that offers a restart; null where it makes no difference. Chromium checks from its new addresses to
   * the other side's old ones as soon as it has made an offer, Firefox replies there, and then Chromium sends
   * to where Firefox does not listen any more.
   */
  get #restartsAreOurs() {
    const [ours, theirs] = [this.#pc.localDescription?.sdp, this.#described].map(isFirefox);
    return ours === theirs ? null : ours;
  }

  /** The server is back, and a new path can be agreed on: the clock starts anew. */
  serverIsBack() {
    if (!this.#patience) return;
    this.#stopHoping();
    this.#hope();
  }

  #pathIs(state) {
    // A broken one may say that it is connected again.
    if (this.#isBroken) return;
    this.#stopLooking();
    this.#isBroken = state === 'failed' && this.#wasConnected && this.#failsForGood;
    if (state === 'connected') {
      this.#stopHoping();
      this.#wasConnected = true;
      this.#wasLost = this.#isReplacement = false;
      this.emit('path', 'connected');
    } else if (this.#wasLost) {
      // It may come back, but nobody counts on it.
    } else if (state === 'disconnected') {
      this.emit('path', 'interrupted');
      this.#restartIn(INTERRUPTED_FOR_MS);
      // One side may never hear that it failed.
      this.#hope();
    } else if (state === 'connecting' && this.#wasConnected) {
      // Firefox looks for another path. That there is none it may never say.
      this.#restartIn(LATE_CANDIDATES_MS);
      this.#hope();
    } else if (state === 'failed' && this.#wasConnected) {
      this.emit('path', 'interrupted');
      this.#hope();
      // One that has never been connected fails again as long as nothing has changed.
      this.#restartIn(this.#isReplacement ? INTERRUPTED_FOR_MS : 0);
    } else if (state === 'failed') {
      this.#restartTimer = setTimeout(() => this.#isLost('ice_failed'), LATE_CANDIDATES_MS);
    }
  }

  /**
   * Looks for another path in a while, and again while nothing comes of it. Firefox says nothing more of a path
   * for which nobody has a candidate, as while the relay is away.
   */
  #restartIn(ms) {
    this.#stopLooking();
    this.#looksFurther = true;
    this.#restartTimer = setTimeout(() => {
      if (this.#negotiated) this.restart();
      this.#restartIn(LATE_CANDIDATES_MS);
    }, ms);
  }

  #stopLooking() {
    clearTimeout(this.#restartTimer);
    this.#looksFurther = false;
  }

  /** Waits for a path, the first or another, unless it waits already. */
  #hope(since = Date.now()) {
    const [reason, ms] = this.#wasConnected ? ['connection_lost', REPAIRED_WITHIN_MS] : ['ice_failed', FOUND_WITHIN_MS];
    this.#patience ||= setTimeout(() => {
      this.#patience = 0;
      if (this.#signaling.isAway() && Date.now() - since < SERVER_AWAY_MS) this.#hope(since);
      else this.#isLost(reason);
    }, ms);
  }

  #stopHoping() {
    clearTimeout(this.#patience);
    this.#patience = 0;
  }

  #isLost(reason) {
    this.#stopLooking();
    this.#wasLost = true;
    this.emit('path', 'lost', reason);
  }

  // -- Another connection --

  /**
   * Whether a failed connection stays so. In Firefox its DTLS has failed with it, and does not come back with
   * another path, whatever the states say: nothing that is to be sent leaves. The other side knows another
   * connection by its certificate, which an application can give.
   */
  get #failsForGood() {
    return isFirefox(this.#pc.localDescription?.sdp) && !this.#config.certificates;
  }

  /** Offers another connection in the place of a broken one. */
  async #replace() {
    const broken = this.#pc;
    await this.refresh();
    this.#inTurn((pc) => {
      // The other side's was first.
      if (pc !== broken) return;
      this.#startOver(true);
      this.offer();
    });
  }

  /** Opens another connection, which sends what this one did. Whoever offers also says what is to come. */
  #startOver(weOffer) {
    const before = this.#pc;
    const coming = before.getTransceivers().filter(({ currentDirection, direction }) => /recv/.test(currentDirection ?? direction));
    const sent = [...[...this.#senders].map(([track, sender]) => [track, sender.track !== null]), ...this.#homeless];
    this.#answerIsLate = before.signalingState === 'have-local-offer';
    // One that was never answered says nothing new.
    this.#replaced = this.#described || this.#replaced;
    this.#shut();
    this.#negotiated = this.#ignoringOffer = this.#offersLater = this.#restartsLater = this.#triesAgain = this.#isBroken = false;
    this.#theirOfferTimer = 0;
    this.#part = null;
    this.#described = '';
    this.#candidates = [];
    this.#isReplacement = true;
    for (const map of [this.#extensions, this.#senders, this.#homeless]) map.clear();
    this.#thereIsAReason();
    this.#open();
    for (const [track, on] of sent) {
      this.add(track, this.#streams.get(track));
      this.sends(track, on);
    }
    if (weOffer) for (const { receiver } of coming) this.#receive(receiver.track.kind);
    this.#restartIn(LATE_CANDIDATES_MS);
    this.#hope();
  }

  /**
   * Makes room for an offer. One with another certificate is of another connection of the other side: it takes
   * one of ours. Where both have opened another one at once, whoever gives way does so with a third, since a
   * first offer that is taken back leaves something of it behind. Gives the connection that takes it, if one does.
   */
  async #whichTakes(sdp) {
    const of = certificates(sdp);
    const isOurs = this.#isReplacement && !this.#described;
    // Of the connection before, sent before ours came there.
    if (isOurs && of === certificates(this.#replaced)) return null;
    const isAnother = this.#described && of && of !== certificates(this.#described);
    if (isAnother || (isOurs && this.#polite)) {
      if (!this.#isReplacement) this.emit('path', 'interrupted');
      this.#startOver(false);
      return this.#pc;
    }
    if (this.#isBroken || (!this.#polite && this.#pc.signalingState !== 'stable')) return null;
    await this.#takeBack();
    return this.#pc;
  }

  // -- Descriptions and candidates, one step after the other --

  #inTurn(step) {
    this.#queue = this.#queue
      .then(() => (this.#pc.signalingState === 'closed' ? undefined : step(this.#pc)))
      .catch((error) => this.#pc.signalingState !== 'closed' && this.emit('failed', error));
  }

  /** A step that may fail without an end to it all, once there is media. `theirs` is the offer of the other side, if it is about one. */
  #negotiate(theirs, step) {
    this.#inTurn(async (pc) => {
      try {
        await step(pc);
      } catch (error) {
        if (!this.#wasConnected || pc.signalingState === 'closed') throw error;
        await this.#refuse(theirs, error);
      }
    });
  }

  #thereIsAReason() {
    this.#gaveUp = false;
    this.#failures = 0;
  }

  offer() {
    this.#thereIsAReason();
    this.#offer();
  }

  #offer(options) {
    this.#negotiate(null, async (pc) => {
      // The other side's offer came first, and asks for this again if it is still needed.
      if (pc.signalingState !== 'stable' || this.#gaveUp) return;
      if (this.#theirOfferTimer) return void (this.#offersLater = true);
      this.#takeIn(true);
      const gathered = this.#gathering(pc);
      await pc.setLocalDescription(options && await pc.createOffer(options));
      // Chromium would check the old candidates first, if it had them alone.
      const restarts = pc.currentLocalDescription && ufragIn(pc.pendingLocalDescription) !== ufragIn(pc.currentLocalDescription);
      if (restarts && this.#restartsAreOurs) await gathered(GATHERED_WITHIN_MS);
      if (pc.signalingState !== 'closed') this.#sendOffer();
    });
  }

  /**
   * Gives a function that waits until a restart has its candidates, so that they are in its description. Those
   * that take longer come by themselves, as ever. To be called before the description is set: for a moment
   * afterwards browsers still say that gathering is complete, which was the one before.
   */
  #gathering(pc) {
    let done = () => {};
    let isComplete = false;
    pc.addEventListener('icegatheringstatechange', function look() {
      if (pc.iceGatheringState !== 'complete') return;
      pc.removeEventListener('icegatheringstatechange', look);
      isComplete = true;
      done();
    });
    return (ms) => !isComplete && new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      done = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * Both change what they send, as agreed, and one offer does for both: that of the side that does not give
   * way. Two that cross would describe the same new medium twice, and Chromium 148 and later takes no offer
   * in which the number of an RTP extension has another meaning than in one that was taken back.
   */
  offerForBoth({ receive }) {
    this.#thereIsAReason();
    if (this.#polite) return this.#awaitOffer();
    if (receive) this.#receive(receive);
    this.offer();
  }

  #awaitOffer() {
    clearTimeout(this.#theirOfferTimer);
    this.#theirOfferTimer = setTimeout(() => {
      this.#theirOfferTimer = 0;
      // What it was asked for waits for it, and an offer of ours would only cross with its own.
      if (this.#signaling.isAway() || this.#signaling.otherIsAway()) return this.#awaitOffer();
      if (this.#restartsLater) this.#restartIce();
      if (this.#offersLater || this.#homeless.size) this.#offer();
      this.#restartsLater = this.#offersLater = false;
    }, THEIR_OFFER_MS);
  }

  /** An agreement. What waited for it is asked for again by the browser, if it is still needed. */
  #agreed(answer, ours) {
    clearTimeout(this.#theirOfferTimer);
    this.#theirOfferTimer = 0;
    this.#offersLater = this.#restartsLater = false;
    this.#negotiated = true;
    // A second try may leave something that the browser asks for again, but not for ever.
    this.#gaveUp = this.#triesAgain && this.#failures > 1;
    if (!this.#triesAgain) this.#failures = 0;
    this.#triesAgain = false;
    const part = partIn(answer);
    this.#part = ours ? part : OTHER_PART[part];
    // What has been agreed on gets its time.
    if (this.#looksFurther) this.#restartIn(LATE_CANDIDATES_MS);
  }

  /**
   * A part that is decided stays so while the DTLS association does (RFC 8842 §5.5). Chromium leaves the
   * choice open in each offer, Firefox then takes the other part, and Chromium refuses its answer.
   */
  #sendOffer() {
    this.#signaling.tell('signal:offer', { sdp: this.#numbered(withPart(this.#pc.localDescription.sdp, this.#part)) });
  }

  /**
   * A description without extensions whose number has meant another one in this call before: Firefox offers
   * such, of what the other side has offered and it did not take, and Chromium since 148 takes none of them.
   */
  #numbered(sdp) {
    return sdp.split('\r\n').filter((line) => {
      const [, number, extension] = /^a=extmap:(\d+)\S* (\S+)/.exec(line) ?? [];
      if (number && !this.#extensions.has(number)) this.#extensions.set(number, extension);
      return this.#extensions.get(number) === extension;
    }).join('\r\n');
  }

  /**
   * Between two Firefoxes, a description without the RTP extension for the `mid`, from the first time on that
   * something is received again after a pause. From the first packet with a `mid` on, Firefox takes a section's
   * packets only from sources that have sent one. After a pause that may be the source of retransmissions, which
   * also probes for bandwidth, while media comes without a `mid`, since it was acknowledged before: then media is
   * dropped for good. Without the extension Firefox goes by the sources that the description names. Chromium is
   * not seen to send so, and of an answer of Chromium without the extension Firefox takes nothing at all.
   */
  #bySource(sdp) {
    const pc = this.#pc;
    if (![pc.localDescription?.sdp, sdp].every(isFirefox)) return sdp;
    this.#hasPaused ||= pc.getTransceivers().some(({ currentDirection }) => currentDirection === 'inactive' || currentDirection === 'sendonly');
    const namesItsSources = (section) => /^a=ssrc:/m.test(section) || !/^a=send(recv|only)/m.test(section);
    if (!this.#hasPaused || !sdp.split(/^(?=m=)/m).slice(1).every(namesItsSources)) return sdp;
    return sdp.replace(/^a=extmap:.* urn:ietf:params:rtp-hdrext:sdes:mid\r\n/gm, '');
  }

  /** An offer as it should be, if it comes from somebody who leaves the choice open. */
  #asItShouldBe(sdp) {
    return this.#numbered(withPart(sdp, OTHER_PART[this.#part]));
  }

  // -- A negotiation that fails --

  /** Our offer could not be made or agreed on, or theirs not be taken: each side goes back to what was before. */
  async #refuse(theirs, error) {
    // What one browser refuses in an offer it may well offer itself, and the other way round.
    const weOffer = this.#triesAgain ? null : this.#restartsAreOurs ?? Boolean(theirs);
    const offers = weOffer === null ? 'nobody' : weOffer ? 'sender' : 'receiver';
    const { pendingLocalDescription, currentLocalDescription, currentRemoteDescription } = this.#pc;
    const [next, now] = theirs ? [theirs, currentRemoteDescription] : [pendingLocalDescription ?? currentLocalDescription, currentLocalDescription];
    const restarts = ufragIn(next) !== ufragIn(now);
    this.#signaling.tell('ice:candidate', { candidate: null, refused: true, offers, ...(restarts && { wants: 'restart' }) });
    await this.#tryAgain(weOffer, restarts);
    this.emit('warning', failure('negotiation_failed', `The browsers could not agree on a change: ${error.message}`));
  }

  /** The same, told by the other side. */
  #refused({ offers, wants }) {
    this.#inTurn(async () => {
      // That was the connection before.
      if (this.#isReplacement && !this.#described) return;
      await this.#tryAgain(offers === 'nobody' ? null : offers === 'receiver', wants === 'restart');
      this.emit('warning', failure('negotiation_failed', "The other side's browser could not agree on a change."));
    });
  }

  /** `weOffer` is null for no second try. */
  async #tryAgain(weOffer, restarts) {
    this.#failures += 1;
    clearTimeout(this.#theirOfferTimer);
    this.#theirOfferTimer = 0;
    this.#triesAgain = weOffer !== null;
    this.#gaveUp = !this.#triesAgain;
    if (weOffer === false) this.#awaitOffer();
    await this.#takeBack();
    if (!weOffer) return;
    // Chromium does not ask for a new path again after a rollback.
    if (restarts) this.#pc.restartIce?.();
    this.#offer();
  }

  async #takeBack() {
    const pc = this.#pc;
    const rollback = { type: 'rollback' };
    if (pc.signalingState === 'have-remote-offer') await pc.setRemoteDescription(rollback).catch(() => {});
    if (pc.signalingState !== 'have-local-offer') return;
    await pc.setLocalDescription(rollback).catch(() => {});
    for (const [track, sender] of this.#senders) {
      const transceiver = pc.getTransceivers().find((each) => each.sender === sender);
      if (transceiver?.mid !== null) continue;
      this.#homeless.set(track, sender.track !== null);
      this.#senders.delete(track);
      // Chromium would never be done with one that is stopped before it was agreed on.
      transceiver.direction = 'inactive';
      await sender.replaceTrack(null).catch(() => {});
      this.#takenBack.add(transceiver);
    }
  }

  /** The server would not carry what we described: an offer that is open, or else an answer. */
  undelivered(error) {
    this.#negotiate(this.#pc.signalingState === 'stable' ? this.#pc.currentRemoteDescription : null, () => { throw error; });
  }

  // -- What the other side sends it --

  handle(event, data) {
    switch (event) {
      case 'signal:offer': return this.describe('offer', data.sdp);
      case 'signal:answer': return this.describe('answer', data.sdp);
      case 'ice:candidate':
        if (data.refused) this.#refused(data);
        else if (data.wants === 'restart') this.#wanted();
        else this.candidate(data.candidate);
    }
  }

  describe(type, description) {
    // Others may send the browser's whole { type, sdp }.
    const sdp = description.sdp ?? description;
    this.#negotiate(type === 'offer' ? { sdp } : null, async (pc) => {
      if (type === 'answer') {
        if (pc.signalingState !== 'have-local-offer') return;
        if (this.#isLate(sdp)) return void (this.#answerIsLate = false);
        await pc.setRemoteDescription({ type, sdp: this.#bySource(this.#numbered(sdp)) });
        await this.#isDescribed(sdp);
        return this.#agreed(sdp, false);
      }
      await this.#refreshing;
      pc = await this.#whichTakes(sdp);
      this.#ignoringOffer = !pc;
      if (!pc) return;
      await pc.setRemoteDescription({ type, sdp: this.#bySource(this.#asItShouldBe(sdp)) });
      const restarts = this.#wasConnected && ufragIn({ sdp }) !== ufragIn({ sdp: this.#described });
      await this.#isDescribed(sdp);
      this.#takeIn(false);
      const gathered = this.#gathering(pc);
      await pc.setLocalDescription();
      if (restarts && isFirefox(sdp)) {
        await gathered(GATHERED_WITHIN_MS);
        if (!/^a=candidate/m.test(pc.localDescription.sdp)) await gathered(FIRST_CANDIDATE_MS);
      }
      if (pc.signalingState === 'closed') return;
      const answer = this.#numbered(pc.localDescription.sdp);
      this.#signaling.tell('signal:answer', { sdp: answer });
      this.#agreed(answer, true);
      if (this.#homeless.size) this.#offer();
    });
  }

  /** An answer to the last offer of the connection before. */
  #isLate(sdp) {
    return this.#answerIsLate && certificates(sdp) === certificates(this.#replaced);
  }

  async #isDescribed(sdp) {
    this.#described = sdp;
    // Some may be of the connection before.
    const lines = sdp.split(/\r?\n/);
    const belongs = ({ usernameFragment }) => !usernameFragment || lines.includes(`a=ice-ufrag:${usernameFragment}`);
    for (const candidate of this.#candidates.splice(0).filter(belongs)) await this.#addCandidate(candidate);
  }

  candidate(candidate) {
    // The end of candidates changes nothing.
    if (!candidate) return;
    if (typeof candidate === 'string') candidate = { candidate, sdpMLineIndex: 0 };
    this.#inTurn(async (pc) => {
      // A browser throws at a candidate that comes before the description it belongs to.
      if (pc.remoteDescription) await this.#addCandidate(candidate);
      else this.#candidates.push(candidate);
    });
  }

  async #addCandidate(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch (error) {
      if (!this.#ignoringOffer) console.warn('a candidate was not taken:', error.message);
    }
  }

  /** A new session is told where things stand: what has come here already is not done again. */
  sync({ description, candidates = [] }) {
    const sdp = description?.sdp.sdp ?? description?.sdp;
    if (description && sdp !== this.#described && sdp !== this.#replaced) this.describe(description.type, sdp);
    for (const { candidate } of candidates) this.candidate(candidate);
    this.#inTurn((pc) => {
      // Our offer may have been lost with the session before.
      if (pc.signalingState === 'have-local-offer') this.#sendOffer();
    });
  }
}

// ---- A call ------------------------------------------------------------------------------------

const READ_STATS_MS = 1_000;
/** The server hears each tenth reading. */
const READINGS_A_REPORT = 10;

/** The words of `call:stats`; what the browser does not say is left out. */
const forTheRecord = ({ rttMs, jitterMs, lossPercent, path }) => Object.fromEntries(
  Object.entries({ rttMs, jitterMs, lossPercent, path }).filter(([, value]) => value != null),
);

/** Errors by which the server says that it no longer has a call. */
const GONE = ['call_not_found', 'call_ended', 'not_a_participant'];

/** What a side sends that has said nothing else. */
const AS_USUAL = { muted: false, video: true, held: false };

/** What an application has of a call: see callbox.d.ts. */
class Call extends Sender {
  id = null;
  remoteStream = null;
  remoteMedia = { ...AS_USUAL };
  peerConnected = true;
  connectedAt = 0;
  /** Whether the application has been told of it. */
  announced = false;

  #box;
  #options;
  #iceServers;
  #peer = null;
  /** On which device the other side has the call, once that is known. */
  #peerDevice = '';
  #mediaIsTold = false;
  /** Waits for another device of ours to take the call, or not. */
  #handedOver = null;
  /** Whether the other side is the caller: then the first offer is theirs, and we give way. */
  #isCallee;
  /** What was asked of the other side and is not decided: a type, and tracks to add. */
  #upgrade = null;
  /** What the other side asks for: a type. */
  #asks = null;
  #relayed = false;
  #statsTimer = 0;

  constructor(box, { direction, peer, peerName = peer, type, options = {}, id = null, metadata, transferFrom, iceServers = [] }) {
    super();
    this.#box = box;
    this.#options = options;
    this.#iceServers = iceServers;
    this.#isCallee = direction === 'incoming';
    Object.assign(this, { id, direction, peer, peerName, type, metadata, transferFrom });
    this.state = this.#isCallee ? 'ringing' : 'initiating';
  }

  get pc() {
    return this.#peer?.pc ?? null;
  }

  get peers() {
    return this.#peer ? [this.#peer] : [];
  }

  // -- What an application does --

  /** Caller: media first, so that a camera that is refused is known before anything rings. */
  async start() {
    const done = this.#box.starting(this);
    try {
      await this.open(this.#options);
      if (this.over) return;
      const { metadata } = this.#options;
      const asked = { targetUserId: this.peer, callType: this.type, metadata };
      // Given up here, and it rings there.
      const late = ({ callId }) => this.#box.tell('call:end', { callId });
      const answer = await this.#box.request('call:initiate', asked, { late });
      this.#box.adopt(this, answer.callId);
      if (this.over) {
        // Hung up while the server was asked: it does not know yet.
        this.#box.forget(this);
        return void this.#tell('call:end');
      }
      this.#iceServers = answer.iceServers ?? [];
      if (answer.glare) {
        // They called us in the same moment, and we are the callee of the one call that there is.
        this.#isCallee = true;
        this.type = answer.callType;
        if (this.type === 'audio') this.#dropVideo();
        this.#to('connecting');
        this.#connect();
      } else {
        this.#serverState(answer.state);
      }
    } catch (error) {
      if (this.id) this.#tell('call:end');
      this.#finish({ reason: 'error', error });
      throw error;
    } finally {
      done();
    }
  }

  /** Callee: the peer connection is there before the accept, so that no offer can come too early. */
  async accept(options = {}) {
    if (!this.#rings) throw failure('invalid_state', 'This call does not ring here.');
    // Pictures that the caller does not expect take an upgrade.
    this.#options = { ...options, video: this.type === 'video' && (options.video ?? true) };
    this.#to('connecting');
    try {
      await this.open(this.#options);
      if (this.over) return;
      this.#connect();
      await this.#box.request('call:accept', { callId: this.id });
    } catch (error) {
      // Another device was faster, or the caller hung up; "ended" has told it.
      if (this.over) return;
      // The caller must not ring on for nothing, or be left in a call with nobody.
      if (!(error instanceof CallboxError) || error.code.startsWith('media_')) this.#tell('call:reject', { reason: 'rejected' });
      // This user is in another call, and the server would let this one ring on.
      if (error.code === 'too_many_calls') this.#tell('call:reject', { reason: 'busy' });
      if (error.code === 'connection_lost') this.#tell('call:end', { reason: 'connection_lost' });
      this.#finish({ reason: 'error', error });
      throw error;
    }
  }

  reject(reason = 'rejected') {
    if (!this.#rings) return;
    this.#tell('call:reject', { reason });
    this.#finish({ reason: 'rejected', endedBy: this.#box.userId });
  }

  hangUp() {
    if (this.over) return;
    if (this.#rings) return this.reject();
    const early = this.state === 'initiating' || this.state === 'ringing';
    // Before the accept the server takes this for a cancel. To say so ourselves would be wrong if the
    // other side answered in this very moment.
    if (this.id) this.#tell('call:end');
    this.#finish({ reason: early ? 'cancelled' : 'hangup', endedBy: this.#box.userId });
  }

  /** Asks the other side, or says yes to it. The camera is opened first, as in `start`. */
  async upgrade(type = 'video', { video = true, stream } = {}) {
    if (!this.#peer || this.over) throw failure('invalid_state', 'This call is not connected.');
    if (this.type === type && this.#asks !== type) return true;
    // Asked for twice, or by us and by saying yes to the other side: it is one.
    if (this.#upgrade?.type === type) return this.#upgrade.agreed;
    this.#settleUpgrade(false);
    const upgrade = { type, tracks: [], given: Boolean(stream), asked: false, isTold: false };
    upgrade.agreed = new Promise((resolve) => { upgrade.resolve = resolve; });
    this.#upgrade = upgrade;
    try {
      const opened = await openMedia({ audio: false, video: type === 'video' && video, stream });
      upgrade.tracks = opened.stream.getTracks();
      if (this.#upgrade === upgrade) {
        await this.#box.request('call:upgrade', { callId: this.id, callType: type });
        upgrade.isTold = true;
      }
      // The call is over, or something else was asked for meanwhile.
      else if (!stream) stopTracks(upgrade.tracks);
    } catch (error) {
      if (this.#upgrade === upgrade) this.#settleUpgrade(false);
      // They wait for a word.
      if (upgrade.asked) this.#tell('call:upgrade', { callType: type, accept: false });
      throw error;
    }
    return upgrade.agreed;
  }

  /** Hands this side of the call to another device of the same user; gives whether that one took it. */
  async transfer(deviceId) {
    await this.#box.request('call:transfer', { callId: this.id, deviceId });
    return this.over ? false : new Promise((resolve) => { this.#handedOver = resolve; });
  }

  async send(data) {
    await this.#box.request('call:message', { callId: this.id, data });
  }

  async restartIce() {
    await this.#peer?.restart();
  }

  // -- What the box tells it --

  handle(event, data) {
    switch (event) {
      case 'call:ringing': return this.#serverState('ringing');
      case 'call:state':
        this.#peerIsOn(data.call.participants.find(({ userId }) => userId === this.peer)?.deviceId);
        this.#typeIs(data.call.type);
        return this.#serverState(data.call.state);
      case 'call:accepted':
        this.#peerDevice = data.deviceId;
        return this.#serverState('connecting');
      case 'call:transferred':
        if (data.accepted) return this.#peerIsOn(data.deviceId);
        return this.#settleTransfer(false);
      case 'call:sync': return this.#sync(data);
      case 'call:ended': return this.#finish(data);
      case 'call:reconnecting': return this.#peerIs(false);
      case 'call:reconnected': return this.#peerIs(true);
      case 'ice:servers': return this.setServers(data.iceServers);
      case 'call:message': return void this.emit('message', data.data);
      case 'call:upgrade': return this.#asked(data.callType);
      case 'call:upgraded': return this.#upgraded(data);
      case 'media:updated':
        this.remoteMedia = { muted: data.muted, video: data.video, held: data.held };
        return void this.emit('media', this.remoteMedia);
      default: this.#peer?.handle(event, data);
    }
  }

  /** There is a session again. If it is another one, the server may have forgotten this call. */
  async welcomed(resumed) {
    this.#peer?.serverIsBack();
    if (resumed || !this.id) return;
    if (this.#rings) {
      try {
        await this.#box.request('call:ring', { callId: this.id });
      } catch (error) {
        this.#finish({ reason: 'connection_lost', error });
      }
    } else if (this.#peer) {
      // A server that was restarted has a new relay, which knows nothing of the old one's allocations.
      await (this.#relayed ? this.#peer.restart() : this.#peer.refresh());
    } else {
      await this.#freshServers();
    }
  }

  setServers(iceServers) {
    if (!iceServers || this.over) return;
    this.#iceServers = iceServers;
    this.#peer?.setServers(iceServers);
  }

  /** The connection to the server is closed, or another call has taken this one's place. */
  abandon(reason, error) {
    this.#finish({ reason, error });
  }

  // -- Its course --

  get over() {
    return this.state === 'ended';
  }

  get #rings() {
    return this.direction === 'incoming' && this.state === 'ringing';
  }

  /** The accept may have come while we were away. From there on we know better than the server. */
  #serverState(state) {
    if (this.#isCallee || this.#peer || this.over) return;
    if (state === 'initiating' || state === 'ringing') return this.#to(state);
    this.#to('connecting');
    this.#connect();
    this.#peer.offer();
  }

  #to(state) {
    if (this.over || this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }

  #finish({ reason, endedBy = null, duration, error }) {
    if (this.over) return;
    clearInterval(this.#statsTimer);
    this.#peer?.close();
    this.release();
    this.#settleUpgrade(false);
    this.#settleTransfer(reason === 'answered_elsewhere');
    this.#to('ended');
    this.#box.forget(this);
    duration ??= this.connectedAt ? (Date.now() - this.connectedAt) / 1000 : 0;
    this.emit('ended', { reason, endedBy, duration, ...(error && { error }) });
  }

  /** Asks the server something about this call. A call that it no longer has is over. */
  async #ask(event, data = {}) {
    try {
      return await this.#box.request(event, { callId: this.id, ...data }, { patient: true });
    } catch (error) {
      if (GONE.includes(error.code)) this.#finish({ reason: 'connection_lost', error });
      // Without this description nothing comes of the call, or of the change.
      else if (error.code === 'payload_too_large' && data.sdp) this.#peer?.undelivered(error);
      return {};
    }
  }

  #tell(event, data) {
    this.#ask(event, data);
  }

  async #freshServers() {
    const { iceServers } = await this.#ask('ice:refresh');
    if (iceServers) this.#iceServers = iceServers;
    return iceServers;
  }

  /** The other side goes on with the call on another device, which knows nothing of our peer connection. */
  #peerIsOn(device) {
    if (!device || device === this.#peerDevice) return;
    const moved = this.#peer && this.#peerDevice !== '';
    this.#peerDevice = device;
    if (!moved) return;
    this.#peer.close();
    this.#settleUpgrade(false);
    this.#asks = null;
    this.remoteMedia = { ...AS_USUAL };
    if (this.connectedAt) this.#to('reconnecting');
    // Whoever stays makes the offer, as a caller does.
    this.#isCallee = false;
    this.#connect();
    this.#peer.offer();
  }

  #peerIs(connected) {
    this.peerConnected = connected;
    this.emit('peer', connected);
  }

  // -- Its peer --

  #connect() {
    const config = { ...this.#box.rtcConfig, ...this.#options.rtcConfig };
    const peer = new Peer(this.#iceServers, config, this.#isCallee, {
      tell: (event, data) => this.#tell(event, data),
      freshServers: () => this.#freshServers(),
      isAway: () => this.#box.state !== 'connected',
      otherIsAway: () => !this.peerConnected,
    });
    this.#peer = peer;
    this.#mediaIsTold = false;
    peer.on('stream', (stream) => {
      this.remoteStream = stream;
      peer.plays(!this.held);
      this.emit('stream', stream);
    });
    peer.on('path', (path, reason) => this.#pathIs(path, reason));
    peer.on('failed', (error) => this.#disagree(error));
    peer.on('warning', (error) => this.emit('warning', error));
    this.sendTo(peer, !this.#isCallee);
    this.applyMedia();
    this.#readStats(peer);
  }

  #pathIs(path, reason) {
    if (path === 'lost') return this.#giveUp(reason);
    if (path === 'interrupted') {
      if (this.state === 'connected') this.#tell('call:reconnecting');
      if (this.connectedAt) this.#to('reconnecting');
      return;
    }
    this.#tell('call:connected');
    if (!this.#mediaIsTold && !this.sendsAsUsual) this.#tellMedia();
    this.#mediaIsTold = true;
    this.connectedAt ||= Date.now();
    this.#to('connected');
  }

  #disagree({ message }) {
    this.#tell('call:end', { reason: 'ice_failed' });
    this.#finish({ reason: 'error', error: failure('negotiation_failed', `The browsers could not agree: ${message}`) });
  }

  #giveUp(reason) {
    this.#tell('call:end', { reason });
    // With the server away as well, it is not the other side that is to blame.
    const away = this.#box.state !== 'connected';
    const error = away ? failure('connection_lost', 'The server cannot be reached either.') : undefined;
    this.#finish({ reason, endedBy: away ? null : this.#box.userId, error });
  }

  #readStats(peer) {
    const [each, reported] = [new Meter(), new Meter()];
    let readings = 0;
    clearInterval(this.#statsTimer);
    this.#statsTimer = setInterval(async () => {
      const reading = await each.read(peer.pc).catch(() => null);
      if (!reading || this.over || peer !== this.#peer) return;
      this.#relayed = reading.relayed;
      this.emit('stats', reading);
      if (this.state !== 'connected' || readings++ % READINGS_A_REPORT) return;
      // With a meter of its own, so that the loss is that since the last report.
      const report = await reported.read(peer.pc).catch(() => null);
      if (report && !this.over) this.#tell('call:stats', forTheRecord(report));
    }, READ_STATS_MS);
  }

  // -- Its media --

  mediaChanged() {
    if (this.connectedAt) this.#tellMedia();
  }

  #tellMedia() {
    this.#tell('media:update', this.media);
  }

  /** A new session. What was asked before it may be decided, or forgotten by a server that was restarted. */
  #sync({ call, upgrade, transferTo, ...relayed }) {
    this.#typeIs(call.type);
    if (this.#upgrade?.isTold && upgrade?.from !== this.#box.userId) this.#settleUpgrade(false);
    if (!transferTo) this.#settleTransfer(false);
    if (upgrade?.from !== this.peer) this.#asks = null;
    else if (this.#asks !== upgrade.callType) this.#asked(upgrade.callType);
    this.#peer?.sync(relayed);
  }

  #settleTransfer(taken) {
    this.#handedOver?.(taken);
    this.#handedOver = null;
  }

  /** What the server says that the call carries. A "yes" may have been lost with its session. */
  #typeIs(type) {
    if (this.#peer && this.type !== type) this.#upgraded({ callType: type, accepted: true });
  }

  #asked(type) {
    this.#asks = type;
    // Both have asked for the same at once, or we are about to: the server takes that for a yes.
    if (this.#upgrade?.type === type) return void (this.#upgrade.asked = true);
    const ask = {
      type,
      accept: (options) => this.upgrade(type, options),
      reject: () => this.#tell('call:upgrade', { callType: type, accept: false }),
    };
    // Nobody here who could agree.
    if (!this.emit('upgrade', ask)) ask.reject();
  }

  #upgraded({ callType, accepted }) {
    this.type = callType;
    this.#asks = null;
    const added = this.#settleUpgrade(accepted);
    if (accepted && callType === 'video') {
      this.cameraOff = false;
      for (const track of added) {
        this.localStream.addTrack(track);
        this.#peer.add(track, this.localStream);
      }
    } else if (accepted) {
      this.#dropVideo();
    }
    if (accepted) {
      this.applyMedia();
      this.#peer.offerForBoth({ receive: callType === 'video' ? 'video' : null });
    }
    this.emit('upgraded', { type: callType, accepted });
  }

  #dropVideo() {
    for (const track of this.tracks('video')) {
      this.#peer?.remove(track);
      this.localStream.removeTrack(track);
      this.release([track]);
    }
  }

  /** Gives the tracks that were opened for the upgrade, if it came about. */
  #settleUpgrade(accepted) {
    const { tracks = [], given, resolve } = this.#upgrade ?? {};
    this.#upgrade = null;
    resolve?.(accepted);
    if (!accepted && !given) stopTracks(tracks);
    return accepted ? tracks : [];
  }
}

// ---- A room ------------------------------------------------------------------------------------

/** One of the others in a room, over a peer connection of its own: see callbox.d.ts. */
class Member extends Emitter {
  state = 'connecting';
  remoteStream = null;
  peer;
  #each = new Meter();
  #reported = new Meter();

  constructor({ participantId, userId, name = userId, deviceId, metadata, connected, media }, peer) {
    super();
    Object.assign(this, { id: participantId, userId, name, deviceId, metadata, peerConnected: connected, peer });
    this.remoteMedia = { ...AS_USUAL, ...media };
    peer.on('stream', (stream) => {
      this.remoteStream = stream;
      this.emit('stream', stream);
    });
  }

  get pc() {
    return this.peer.pc;
  }

  handle(event, data) {
    switch (event) {
      case 'call:reconnecting': return this.isThere(false);
      case 'call:reconnected': return this.isThere(true);
      case 'media:updated': return this.sends(data);
      default: this.peer.handle(event, data);
    }
  }

  /** What came about while we were away. */
  synced({ connected, media }, relayed = {}) {
    if (connected !== this.peerConnected) this.isThere(connected);
    if (media) this.sends(media);
    this.peer.sync(relayed);
  }

  isThere(connected) {
    this.peerConnected = connected;
    this.emit('peer', connected);
  }

  sends({ muted, video = AS_USUAL.video, held }) {
    this.remoteMedia = { muted, video, held };
    this.emit('media', this.remoteMedia);
  }

  to(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }

  /** Gives what the server is to hear, if it is to hear anything now. */
  async measure(due) {
    const reading = await this.#each.read(this.pc).catch(() => null);
    if (reading) this.emit('stats', reading);
    return due && this.state === 'connected' ? this.#reported.read(this.pc).catch(() => null) : null;
  }
}

/** What an application has of a room: see callbox.d.ts. */
class Room extends Sender {
  participantId = null;
  over = false;

  #box;
  #options;
  #iceServers = [];
  #members = new Map();
  /** Whether we have asked to be let in. */
  #asked = false;
  /** What the server said before it let us in, which comes after its answer. */
  #early = [];
  #hasMedia = false;
  #fresh = null;
  #statsTimer = 0;

  constructor(box, id, type, options) {
    super();
    this.#box = box;
    this.#options = options;
    Object.assign(this, { id, type });
  }

  get members() {
    return [...this.#members.values()];
  }

  get peers() {
    return this.members.map(({ peer }) => peer);
  }

  // -- What an application does --

  /** Media first, as in a call. */
  async join() {
    try {
      await this.open(this.#options);
      if (!this.over) await this.#enter();
    } catch (error) {
      // It may have been heard all the same, or there was something wrong afterwards.
      if (this.participantId || error.code === 'connection_lost') this.#ask('room:leave', { reason: 'connection_lost' });
      this.#finish({ reason: 'error', error });
      throw error;
    }
  }

  leave() {
    if (this.over) return;
    // Also if its answer to the join is on its way: what is asked is done in order.
    if (this.#asked) this.#ask('room:leave');
    this.#finish({ reason: 'hangup', endedBy: this.#box.userId });
  }

  async send(data, member) {
    await this.#box.request('call:message', { roomId: this.id, ...(member && { to: member.id }), data });
  }

  async restartIce() {
    await Promise.all(this.peers.map((peer) => peer.restart()));
  }

  // -- What the box tells it --

  handle(event, data) {
    if (this.#early) return void this.#early.push([event, data]);
    const member = this.#members.get(data.fromParticipant ?? data.participantId);
    switch (event) {
      case 'room:joined': return this.#comes(data.participant, false);
      case 'room:left': return this.#goes(member, data.reason);
      case 'room:sync': return this.#sync(data);
      case 'ice:servers': return this.setServers(data.iceServers);
      case 'call:ended': return this.#isOver(data);
      case 'call:message': return void this.emit('message', data.data, member);
      default: member?.handle(event, data);
    }
  }

  /** There is a session again. If it is another one, the server may have forgotten us. */
  async welcomed(resumed) {
    for (const peer of this.peers) peer.serverIsBack();
    // What the session before was told of is told anew.
    if (!resumed) this.#early?.splice(0);
    if (resumed || !this.participantId || this.#early) return;
    try {
      await this.#enter();
    } catch (error) {
      this.#finish({ reason: 'connection_lost', error });
    }
  }

  setServers(iceServers) {
    this.#iceServers = iceServers;
    for (const peer of this.peers) peer.setServers(iceServers);
  }

  abandon(reason, error) {
    this.#finish({ reason, error });
  }

  // -- Its course --

  async #enter() {
    const again = this.participantId !== null;
    const { metadata } = this.#options;
    const ask = () => this.#box.request('room:join', { roomId: this.id, callType: this.type, metadata }, { patient: again });
    this.#asked = true;
    this.#early ??= [];
    let room = await ask();
    if (!again && !this.over && this.#early.some(([event]) => event === 'room:sync')) {
      // That is who we were before this page was loaded, with peer connections that are gone.
      await this.#ask('room:leave', { reason: 'connection_lost' });
      if (this.over) return;
      this.#early.splice(0);
      room = await ask();
    }
    if (this.over) return;
    if (room.participantId === this.participantId) this.setServers(room.iceServers);
    else this.#entered(room);
    const early = this.#early;
    this.#early = null;
    // An end that was told before was that of our last stay.
    for (const [event, data] of early) if (event !== 'call:ended') this.handle(event, data);
  }

  #entered({ callId, callType, participantId, participants, iceServers }) {
    // Of the room before, if the server was another one.
    for (const member of this.members) this.#goes(member, 'connection_lost');
    Object.assign(this, { callId, type: callType, participantId });
    this.#iceServers = iceServers;
    this.#hasMedia = false;
    for (const participant of participants) this.#comes(participant, true);
    if (!this.over && !this.sendsAsUsual) this.mediaChanged();
    if (!this.over) this.#statsTimer ||= this.#readStats();
  }

  /** Whoever comes later offers, and gives way when two offers cross. */
  #comes(participant, weAreLater) {
    const to = participant.participantId;
    // Left by whoever heard of the one before; or told of twice, before we came and in the answer.
    if (this.over || this.#members.has(to)) return;
    const config = { ...this.#box.rtcConfig, ...this.#options.rtcConfig };
    const peer = new Peer(this.#iceServers, config, weAreLater, {
      tell: (event, data) => this.#ask(event, { to, ...data }),
      freshServers: () => this.#freshServers(),
      isAway: () => this.#box.state !== 'connected',
      otherIsAway: () => !this.#members.get(to)?.peerConnected,
    });
    const member = new Member(participant, peer);
    this.#members.set(to, member);
    peer.on('stream', () => peer.plays(!this.held));
    peer.on('path', (path) => this.#pathIs(member, path));
    peer.on('failed', () => member.to('failed'));
    peer.on('warning', (error) => this.emit('warning', error, member));
    this.sendTo(peer, weAreLater);
    this.bringInLine(peer);
    if (weAreLater) peer.offer();
    this.emit('joined', member);
  }

  #goes(member, reason) {
    if (!member) return;
    this.#members.delete(member.id);
    member.peer.close();
    member.to('left');
    this.emit('left', member, reason);
  }

  #sync({ participants, relayed }) {
    const there = new Set(participants.map(({ participantId }) => participantId));
    for (const member of this.members) if (!there.has(member.id)) this.#goes(member, 'connection_lost');
    for (const participant of participants) {
      const id = participant.participantId;
      this.#comes(participant, false);
      this.#members.get(id)?.synced(participant, relayed.find(({ fromParticipant }) => fromParticipant === id));
    }
  }

  /** Of a path that is lost the others need not hear: there are the paths to them. */
  #pathIs(member, path) {
    if (path !== 'connected') return member.to(path === 'lost' ? 'failed' : 'reconnecting');
    if (!this.#hasMedia) this.#ask('call:connected');
    this.#hasMedia = true;
    member.to('connected');
  }

  #isOver(end) {
    // That may be said of an earlier stay. After a restart the next server lets us in again, and until
    // then media may go on.
    if (end.callId === this.callId && end.reason !== 'server_shutdown') this.#finish(end);
  }

  #finish({ reason, endedBy = null, error }) {
    if (this.over) return;
    this.over = true;
    clearInterval(this.#statsTimer);
    for (const member of this.members) {
      member.peer.close();
      member.to('left');
    }
    this.#members.clear();
    this.release();
    this.#box.forgetRoom(this);
    this.emit('ended', { reason, endedBy, ...(error && { error }) });
  }

  /** Whoever it was for may have left, and that we are out is told by `call:ended`. */
  #ask(event, data) {
    return this.#box.request(event, { roomId: this.id, ...data }, { patient: true }).catch(() => ({}));
  }

  /** One answer does for all paths that are made anew. */
  #freshServers() {
    this.#fresh ??= this.#ask('ice:refresh').then(({ iceServers }) => {
      this.#fresh = null;
      return iceServers;
    });
    return this.#fresh;
  }

  mediaChanged() {
    if (this.participantId) this.#ask('media:update', this.media);
  }

  /** The record has one reading for us: of each figure that of our worst path. */
  #readStats() {
    let readings = 0;
    return setInterval(async () => {
      const due = readings++ % READINGS_A_REPORT === 0;
      const reports = (await Promise.all(this.members.map((member) => member.measure(due)))).filter(Boolean);
      if (!reports.length || this.over) return;
      const worst = (name) => Math.max(...reports.map((report) => report[name] ?? -1));
      const figures = ['rttMs', 'jitterMs', 'lossPercent'].map((name) => [name, worst(name)]).filter(([, value]) => value >= 0);
      const path = reports.find(({ relayed }) => relayed)?.path ?? reports[0].path;
      this.#ask('call:stats', forTheRecord({ ...Object.fromEntries(figures), path }));
    }, READ_STATS_MS);
  }
}

// ---- The box -----------------------------------------------------------------------------------

const DEVICE_KEY = 'callbox.deviceId';

const typeOf = ({ stream, video }) => ((stream ? stream.getVideoTracks().length > 0 : video) ? 'video' : 'audio');

class Box extends Emitter {
  userId = '';
  deviceId;
  sessionId = '';
  iceServers = [];
  rtcConfig;

  #connection;
  #calls = new Map();
  #rooms = new Map();
  /** Outgoing calls that the server has not answered yet. */
  #starting = new Set();
  /** The users whose calls are not wanted. A session forgets them, so a new one is told of them. */
  #blocked = new Set();
  #unlisten = [];

  constructor(url, { token, deviceId, rtcConfig = {} }) {
    super();
    this.rtcConfig = rtcConfig;
    this.deviceId = deviceId ?? this.#deviceOfThisTab();
    this.#connection = new Connection(address(url), token, this.deviceId);
    this.#connection.on('state', (state, error) => {
      if (state === 'closed') this.#closed(error);
      this.emit('state', state, error);
    });
    this.#connection.on('event', (event, data) => this.#event(event, data));
    // A page that the browser keeps, to show it again when the person comes back, is in no call meanwhile.
    this.#listen(globalThis, 'pagehide', ({ persisted }) => (persisted ? this.#hangUp() : this.close()));
    this.#listen(globalThis, 'online', () => this.#networkChanged());
    // Where the browser says what kind of network it is, and not at each of its estimates of its speed.
    const network = globalThis.navigator?.connection;
    let type = network?.type;
    this.#listen(network, 'change', () => {
      if (network.type !== type) this.#networkChanged();
      type = network.type;
    });
  }

  /** `connecting`, `connected`, `reconnecting` or `closed`. */
  get state() {
    return this.#connection.state;
  }

  get calls() {
    return [...this.#calls.values()];
  }

  get rooms() {
    return [...this.#rooms.values()];
  }

  get #parties() {
    return [...this.calls, ...this.rooms];
  }

  async open() {
    try {
      await this.#connection.open();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A call that has not begun: `start()` opens the media and lets it ring. */
  createCall(peer, options = {}) {
    return new Call(this, { direction: 'outgoing', peer, type: typeOf(options), options });
  }

  /** Calls somebody; gives the call once it is under way. */
  async call(peer, options) {
    const call = this.createCall(peer, options);
    await call.start();
    return call;
  }

  /** Comes into a room; gives it with all who are there. */
  async join(roomId, options = {}) {
    if (this.state === 'closed') throw failure('closed', 'The connection to the server is closed.');
    if (this.#rooms.has(roomId)) throw failure('invalid_state', 'This box is in that room already, or about to be.');
    const room = new Room(this, roomId, typeOf(options), options);
    this.#rooms.set(roomId, room);
    await room.join();
    return room;
  }

  /** Takes no calls from a user for as long as there is this box: none of this user's devices rings. */
  async block(userId) {
    this.#blocked.add(userId);
    try {
      await this.request('user:block', { userId });
    } catch (error) {
      this.#blocked.delete(userId);
      throw error;
    }
  }

  /** Takes them again. */
  async unblock(userId) {
    this.#blocked.delete(userId);
    await this.request('user:block', { userId, blocked: false });
  }

  /** Any request of the protocol; gives the answer. */
  request(event, data, options) {
    return this.#connection.request(event, data, options);
  }

  /** Hangs up, and leaves for good. */
  close() {
    this.#hangUp();
    this.#connection.close();
  }

  #hangUp() {
    for (const call of this.calls) {
      // One that only rings here may be taken by another device.
      if (call.direction === 'outgoing' || call.state !== 'ringing') call.hangUp();
    }
    for (const room of this.rooms) room.leave();
  }

  // -- What its calls tell it --

  /** A call begins; gives a function to call once the server has answered, or there is nothing to answer. */
  starting(call) {
    this.#starting.add(call);
    return () => {
      this.#starting.delete(call);
      // If ours did not come about, theirs rings after all.
      const crossed = this.calls.find(({ direction, peer, announced }) => direction === 'incoming' && peer === call.peer && !announced);
      if (crossed) this.#announce(crossed);
    };
  }

  /** However long it takes until the server hears it, and whatever it says. */
  tell(event, data) {
    this.request(event, data, { patient: true }).catch(() => {});
  }

  adopt(call, id) {
    const crossed = this.#calls.get(id);
    call.id = id;
    this.#calls.set(id, call);
    crossed?.abandon('answered_elsewhere');
  }

  forget(call) {
    if (this.#calls.get(call.id) === call) this.#calls.delete(call.id);
  }

  forgetRoom(room) {
    if (this.#rooms.get(room.id) === room) this.#rooms.delete(room.id);
  }

  #event(event, data) {
    const call = this.#calls.get(data?.callId);
    const room = this.#rooms.get(data?.roomId);
    if (event === 'session:welcome') this.#welcome(data);
    else if (room) room.handle(event, data);
    else if (event === 'call:incoming') this.#incoming(data);
    else if (call) call.handle(event, data);
    // A page that was loaded anew comes back to a call that it cannot go on with.
    else if (event === 'call:sync') this.tell('call:end', { callId: data.callId, reason: 'connection_lost' });
    else if (event === 'room:sync') this.tell('room:leave', { roomId: data.roomId, reason: 'connection_lost' });
    this.emit(event, data);
  }

  #welcome({ userId, sessionId, resumed, iceServers }) {
    const first = !this.sessionId;
    Object.assign(this, { userId, sessionId, iceServers });
    if (first) return;
    if (!resumed) for (const userId of this.#blocked) this.tell('user:block', { userId });
    for (const party of this.#parties) party.welcomed(resumed);
  }

  #incoming({ callId, callerId, callerName, callType, metadata, transferFrom, iceServers }) {
    // Announced again to a new session.
    if (this.#calls.has(callId)) return this.#calls.get(callId).setServers(iceServers);
    const call = new Call(this, { direction: 'incoming', id: callId, peer: callerId, peerName: callerName, type: callType, metadata, transferFrom, iceServers });
    this.#calls.set(callId, call);
    // If we are about to call them too, the server makes one call of the two, and nobody need be asked.
    if (![...this.#starting].some(({ peer }) => peer === callerId)) this.#announce(call);
  }

  #announce(call) {
    call.announced = true;
    if (this.emit('incoming', call)) this.request('call:ring', { callId: call.id }).catch(() => {});
  }

  /** Also finds out whether the connection is still alive: one on which nothing is answered is given up. */
  #networkChanged() {
    this.#connection.hurry();
    this.request('ice:refresh').then(({ callId, iceServers }) => {
      if (!callId) this.iceServers = iceServers;
    }).catch(() => {});
    for (const party of this.#parties) party.restartIce();
  }

  #closed(error) {
    for (const off of this.#unlisten.splice(0)) off();
    for (const party of this.#parties) party.abandon('connection_lost', error);
  }

  #listen(target, event, handler) {
    target?.addEventListener?.(event, handler);
    this.#unlisten.push(() => target?.removeEventListener?.(event, handler));
  }

  /**
   * A name that a tab keeps when its page is loaded again. It is stored only while no page has it: a tab
   * that is duplicated gets a copy of the storage, and must not push out its twin.
   */
  #deviceOfThisTab() {
    let id = `web-${randomName()}`;
    try {
      id = sessionStorage.getItem(DEVICE_KEY) ?? id;
      sessionStorage.removeItem(DEVICE_KEY);
      this.#listen(globalThis, 'pagehide', ({ persisted }) => !persisted && sessionStorage.setItem(DEVICE_KEY, id));
    } catch {
      // No storage here, or none for this page.
    }
    return id;
  }
}

/** Where the WebSocket is, from the address of the server. */
function address(url) {
  const at = new URL(url, globalThis.location?.href);
  at.protocol = at.protocol.replace(/^http/, 'ws');
  at.search = at.hash = '';
  at.pathname = at.pathname.replace(/(\/ws)?\/?$/, '/ws');
  return at.href;
}

/**
 * Connects to a callbox server and gives the box, which stays connected from then on. `token` is a text,
 * or an async function that is asked for one at each connection and before the last one expires.
 */
export async function connect(url, options) {
  const box = new Box(url, options);
  await box.open();
  return box;
}
