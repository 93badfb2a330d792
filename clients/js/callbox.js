// @callbox/client: calls through a callbox server, from a web page. No dependency, no build step.
//
//   const box = await connect('https://callbox.example', { token });
//   const call = await box.call('bob', { video: true });
//   box.on('incoming', (call) => call.accept());
//
// Order of the file: errors and events; `Connection`, the socket and the session that outlives it;
// media and statistics; `Peer`, one peer connection; `Call`, which has one peer; `Room`, which has
// one peer for each other participant; `Box`, which `connect` returns. The types are in
// callbox.d.ts, the protocol in the server's docs/protocol.md.

// ---- Errors and events -------------------------------------------------------------------------

/** A refusal by the server or a failure of the client. `code` is meant for programs. */
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

  /** Adds a handler and returns a function that removes it. */
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

  /**
   * Calls the handlers and returns whether there are any. An exception in one is reported and
   * affects neither the other handlers nor the call.
   */
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

/** Time limit for the answer to a request, including time without a connection. */
const ANSWER_TIMEOUT_MS = 10_000;
/** After this long without a frame, while one is expected, the connection counts as dead. */
const SILENCE_TIMEOUT_MS = 5_000;
/** Longer than the timeout above, since the server may have to fetch the token issuer's keys. */
const WELCOME_TIMEOUT_MS = 10_000;
const FIRST_RETRY_DELAY_MS = 400;
const MAX_RETRY_DELAY_MS = 10_000;
const ACKNOWLEDGE_AFTER_MS = 1_000;
const ACKNOWLEDGE_EVERY = 32;

/**
 * Close code that keeps the session; 1000 would end it (docs/protocol.md, "Resuming a session").
 */
const SESSION_CONTINUES = 4000;
/** Close codes after which the client does not reconnect: foreign origin, replaced, kicked. */
const FINAL_CLOSES = [4403, 4409, 4410];
const UNAUTHORIZED = 4401;
/** Close code for a message that is longer than the server accepts. */
const TOO_LONG = 1009;

/**
 * The WebSocket and the session that outlives it. Reconnects with back-off and jitter and resumes
 * the session: each event arrives once and in order, and a request whose answer was lost is sent
 * again, which the server recognizes by its `msgId`. Emits `state` and, for each event of the
 * server, `event`.
 */
class Connection extends Emitter {
  state = 'connecting';
  #url;
  #token;
  #deviceId;
  #socket = null;
  /** Resolve and reject functions of the promise of `open`, until the first welcome. */
  #openPromise = null;
  #attempt = 0;
  #retryTimer = 0;
  #silenceTimer = 0;
  /** Set once the server has refused the token; the next connection asks for a fresh one. */
  #tokenIsStale = false;
  /** Reconnect delay that a draining server asked for. */
  #drainedMs = null;
  /** Unanswered requests by id, in the order in which they were made. */
  #requests = new Map();
  #nextId = 1;
  /** Runs while requests are paused after a `rate_limited` answer. */
  #pauseTimer = 0;
  /** Events held back until earlier requests are answered, and the promise of those answers. */
  #heldEvents = [];
  #heldUntil = null;
  /** Session id, sequence number of the last received event, and of the last acknowledged one. */
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

  /**
   * Opens the first connection. If that fails, for a wrong address or token, the promise is
   * rejected and there is no retry.
   */
  open() {
    return new Promise((resolve, reject) => {
      this.#openPromise = { resolve, reject };
      this.#connect();
    });
  }

  /** Closes the connection for good, which ends the session on the server. */
  close() {
    this.#closeForGood(null);
  }

  /**
   * Sends a request as soon as there is a session, and returns its answer. A patient request has no
   * deadline. `late` is called with a successful answer that arrives after the request has timed
   * out.
   */
  request(event, data = {}, { patient = false, late = null } = {}) {
    if (this.state === 'closed') return Promise.reject(failure('closed', 'The connection to the server is closed.'));
    const id = this.#nextId++;
    const request = { id, patient, sent: false, wasSent: false, givenUp: false, timer: 0 };
    request.answer = new Promise((resolve, reject) => {
      Object.assign(request, { resolve, reject });
      // Serialized here, so that a value that is not JSON throws in the caller.
      request.text = JSON.stringify({ event, id, data: { ...data, msgId: randomName() } });
      if (!patient) request.timer = setTimeout(() => this.#giveUp(request, late), ANSWER_TIMEOUT_MS);
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

  /** Reconnects immediately if a reconnect is scheduled, for use when the network is back. */
  reconnectNow() {
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
        return this.#connectionLost(failure('no_token', `There is no token: ${error?.message ?? error}`));
      }
    }
    if (this.state === 'closed') return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#startSilenceTimer(WELCOME_TIMEOUT_MS);
    socket.onopen = () => {
      const data = { token, protocol: 1, deviceId: this.#deviceId };
      if (this.#session) data.resume = { sessionId: this.#session, seq: this.#seq };
      this.#send({ event: 'session:hello', id: this.#nextId++, data });
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      // A close reason of the server has the form "<code>: <text for a person>".
      const [, word, words] = /^(\w+): (.*)/.exec(reason ?? '') ?? [null, 'connection_lost', 'The server cannot be reached.'];
      const refused = code === UNAUTHORIZED;
      this.#tokenIsStale ||= refused;
      if (code === TOO_LONG) this.#refuseLongest(failure(word, words));
      this.#connectionLost(failure(word, words), FINAL_CLOSES.includes(code) || (refused && typeof this.#token !== 'function'));
    };
  }

  #send(frame) {
    this.#socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Sends the requests that have not been sent on this connection yet, in order. */
  #flush() {
    if (this.state !== 'connected' || this.#pauseTimer) return;
    for (const request of this.#requests.values()) {
      if (request.sent) continue;
      request.sent = request.wasSent = true;
      this.#send(request.text);
      this.#startSilenceTimer();
    }
  }

  #receive({ event, re, seq, data }) {
    if (seq !== undefined) this.#countEvent(seq);
    if (event === 'session:welcome') this.#welcome(data);
    else if (re !== undefined) this.#answer(this.#requests.get(re), data);
    if (event === 'server:draining') this.#drainedMs = data.reconnectAfterMs;
    if (event === 'auth:expiring') this.#refresh();
    if (event) this.#deliver(event, data);
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = 0;
    if ([...this.#requests.values()].some(({ sent }) => sent)) this.#startSilenceTimer();
  }

  #welcome({ sessionId, resumed }) {
    if (!resumed) {
      this.#seq = this.#acknowledged = 0;
      // A new session gets a snapshot of each of its calls, so late answers are not needed.
      for (const { id, givenUp } of this.#requests.values()) if (givenUp) this.#requests.delete(id);
    }
    this.#session = sessionId;
    this.#attempt = 0;
    this.#tokenIsStale = false;
    this.#setState('connected');
    this.#openPromise?.resolve();
    this.#openPromise = null;
    this.#holdEvents();
    this.#flush();
  }

  #deliver(event, data) {
    if (this.#heldUntil && event !== 'session:welcome') this.#heldEvents.push([event, data]);
    else this.emit('event', event, data);
  }

  /**
   * Holds events back until repeated requests are answered. Normally an answer precedes the events
   * that it causes. After a reconnect the missed events come first, so they wait for the repeated
   * answers and for the code that awaits those.
   */
  #holdEvents() {
    const repeated = [...this.#requests.values()].filter(({ patient, wasSent, givenUp }) => !patient && wasSent && !givenUp);
    const holding = (this.#heldUntil = Promise.allSettled(repeated.map(({ answer }) => answer)));
    holding.then(() => {
      if (this.#heldUntil !== holding || this.state === 'closed') return;
      this.#heldUntil = null;
      for (const [event, data] of this.#heldEvents.splice(0)) this.emit('event', event, data);
    });
  }

  #answer(request, data) {
    // Either the request has timed out, or this answers a refused `session:hello`, for which the
    // close code gives the reason.
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

  /**
   * Fails the longest unanswered request: the server does not name the one that was too long for
   * it.
   */
  #refuseLongest(error) {
    const sent = [...this.#requests.values()].filter(({ sent }) => sent);
    const bytes = ({ text }) => new TextEncoder().encode(text).length;
    const longest = sent.sort((one, other) => bytes(other) - bytes(one))[0];
    if (longest) this.#answer(longest, { ok: false, error });
  }

  /**
   * Notes the sequence number of an event and acknowledges several at once: the server's buffer
   * holds more than `ACKNOWLEDGE_EVERY`.
   */
  #countEvent(seq) {
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

  /**
   * Renews the token. One given as a string cannot be renewed; the server closes the connection
   * when it expires.
   */
  async #refresh() {
    if (typeof this.#token !== 'function') return;
    try {
      const token = await this.#token({ fresh: true });
      await this.request('auth:refresh', { token });
    } catch {
      // The server closes the connection, and the next one uses a fresh token.
      this.#tokenIsStale = true;
    }
  }

  /**
   * Starts the timer that detects a connection that died silently, for example when a phone changes
   * networks.
   */
  #startSilenceTimer(withinMs = SILENCE_TIMEOUT_MS) {
    this.#silenceTimer ||= setTimeout(() => {
      const socket = this.#socket;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(SESSION_CONTINUES);
      this.#connectionLost(failure('connection_lost', 'The server does not answer.'));
    }, withinMs);
  }

  #connectionLost(error, final = false) {
    this.#forgetSocket();
    if (this.state === 'closed') return;
    if (final || this.#openPromise) return this.#closeForGood(error);
    this.#setState('reconnecting');
    const ceiling = Math.min(MAX_RETRY_DELAY_MS, FIRST_RETRY_DELAY_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    // Half of the delay is random, so that pages that lost the server together do not return
    // together.
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
    // It is unknown whether the server received these requests, so they are sent again.
    for (const request of this.#requests.values()) request.sent = false;
  }

  #closeForGood(error) {
    if (this.state === 'closed') return;
    this.#socket?.close(1000);
    this.#forgetSocket();
    clearTimeout(this.#retryTimer);
    this.#setState('closed', error);
    const why = error ?? failure('closed', 'The connection to the server is closed.');
    this.#openPromise?.reject(why);
    for (const request of this.#requests.values()) {
      clearTimeout(request.timer);
      request.reject(why);
    }
    this.#requests.clear();
  }

  #setState(state, error) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state, error);
  }
}

// ---- Media -------------------------------------------------------------------------------------

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: 'user' };

/**
 * Opens the requested microphone and camera. A device that does not exist is left out and listed in
 * `missing`; a device that is forbidden is an error, since the user can change that.
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

/** Reads path and media figures from getStats, and computes rates since its previous reading. */
class Meter {
  #last = null;
  #pc = null;

  async read(pc) {
    const report = await pc.getStats();
    // The counters of another peer connection start at zero.
    if (pc !== this.#pc) this.#last = null;
    this.#pc = pc;
    const stats = [...report.values()];
    const transport = stats.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
    // Firefox has no transport entry and marks the selected pair instead.
    const pair = report.get(transport?.selectedCandidatePairId)
      ?? stats.find((entry) => entry.type === 'candidate-pair' && entry.selected);
    if (!pair) return null;
    const local = report.get(pair.localCandidateId);
    const remote = report.get(pair.remoteCandidateId);
    const inbound = stats.filter((entry) => entry.type === 'inbound-rtp');
    const sum = (name) => inbound.reduce((total, entry) => total + (entry[name] ?? 0), 0);
    const video = inbound.find((entry) => entry.kind === 'video');
    const remoteInbound = stats.find((entry) => entry.type === 'remote-inbound-rtp' && entry.roundTripTime !== undefined);
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
      rttMs: seconds(pair.currentRoundTripTime ?? remoteInbound?.roundTripTime),
      jitterMs: seconds(jitter.length ? Math.max(...jitter) : undefined),
      packetsLost: now.lost,
      // Packets that arrive late can lower the total loss, so the difference may be negative.
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
 * Local media of a call or room: opened once, then muted, held, or without its camera. Subclasses
 * provide `peers`, `over`, and `mediaChanged()`, which notifies the other participants.
 */
class Sender extends Emitter {
  localStream = null;
  missing = [];
  muted = false;
  held = false;
  cameraOff = false;
  /** Set if the application passed the stream in; it is then not stopped here. */
  #streamIsGiven = false;

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
    this.#streamIsGiven = Boolean(options.stream);
    const { stream, missing } = await openMedia(options);
    if (this.over) return void this.release(stream.getTracks());
    this.localStream = stream;
    this.missing = missing;
    this.applyMedia();
    this.emit('localstream', stream, missing);
  }

  release(tracks = this.localStream?.getTracks() ?? []) {
    if (!this.#streamIsGiven) stopTracks(tracks);
  }

  /**
   * Adds the local tracks to a new peer. The offerer also adds the sections it only receives on.
   */
  sendTo(peer, offers) {
    for (const track of this.localStream.getTracks()) peer.add(track, this.localStream);
    if (!offers) return;
    // Without a local device the medium is still received.
    if (!this.tracks('audio').length) peer.pc.addTransceiver('audio', { direction: 'recvonly' });
    if (this.type === 'video' && !this.tracks('video').length) peer.pc.addTransceiver('video', { direction: 'recvonly' });
  }

  /** Applies `muted`, `cameraOff` and `held` to the tracks and the peers. */
  applyMedia() {
    for (const track of this.localStream?.getTracks() ?? []) {
      track.enabled = track.kind === 'audio' ? !this.muted : !this.cameraOff;
    }
    for (const peer of this.peers) this.applyMediaTo(peer);
    if (!this.over) this.mediaChanged();
  }

  /** Sets what a peer sends: silence for a muted microphone, nothing for a camera that is off. */
  applyMediaTo(peer) {
    for (const track of this.localStream?.getTracks() ?? []) {
      peer.setSending(track, !this.held && (track.kind === 'audio' || track.enabled));
    }
    peer.setPlayback(!this.held);
  }

  /**
   * True if the media sent equals the default of the call's type, so that no `media:update` is
   * needed.
   */
  get sendsDefaultMedia() {
    return !this.muted && !this.held && this.sendsVideo === (this.type === 'video');
  }

  /** The payload of `media:update`. */
  get media() {
    return { muted: this.muted, video: this.sendsVideo, held: this.held };
  }
}

// ---- A peer ------------------------------------------------------------------------------------

/**
 * Wait for better candidates after ICE has failed, which it does as soon as all candidates so far
 * have; also the interval between ICE restarts.
 */
const LATE_CANDIDATES_MS = 8_000;
/** An interrupted path often recovers by itself within this time. */
const RESTART_DELAY_MS = 3_000;
const REPAIR_TIMEOUT_MS = 35_000;
/** Time limit for the first path: without any candidate a browser stays in "checking" for ever. */
const FIRST_PATH_TIMEOUT_MS = 45_000;
/** Longer limit while the server is unreachable, since no new path can be negotiated then. */
const SERVER_AWAY_TIMEOUT_MS = 45_000;
/**
 * Longest wait of the polite side for the other side's offer after both have changed media, in case
 * the other side does not know this rule.
 */
const THEIR_OFFER_TIMEOUT_MS = 5_000;
/** Longest wait for candidates before the description of an ICE restart is sent. */
const GATHERING_TIMEOUT_MS = 1_000;
/**
 * Longest further wait for an answer to Firefox that has no candidate yet: with none within five
 * seconds Firefox's ICE fails.
 */
const FIRST_CANDIDATE_TIMEOUT_MS = 4_000;

/** The opposite of each DTLS role, as `a=setup` names them. */
const OTHER_DTLS_ROLE = { active: 'passive', passive: 'active' };

const dtlsRoleIn = (sdp) => /^a=setup:(active|passive)/m.exec(sdp)?.[1] ?? null;

/** Replaces `actpass` by a role that has been negotiated already. */
const withDtlsRole = (sdp, role) => (role ? sdp.replace(/^a=setup:actpass/gm, `a=setup:${role}`) : sdp);

/**
 * Returns true if Firefox made a description, as each of its descriptions says. Chromium does not
 * preserve that line of a remote description, so the text as received is checked.
 */
const isFirefox = (sdp) => /^o=mozilla/m.test(sdp);

const ufragIn = (description) => /^a=ice-ufrag:(\S+)/m.exec(description?.sdp)?.[1];

/** The certificate fingerprints that a description lists, as one comparable string. */
const certificates = (sdp) => [...new Set(sdp.match(/^a=fingerprint:.*/gm))].sort().join();

/** The part of a server's message that configures a peer connection. */
const iceConfig = ({ iceServers = [], iceTransportPolicy }) => ({ iceServers, iceTransportPolicy });

/** The policy that the server forces (`--force-relay`), as a part of a configuration. */
const forcedPolicy = ({ iceTransportPolicy }) => (iceTransportPolicy ? { iceTransportPolicy } : {});

/**
 * One RTCPeerConnection at a time: W3C "perfect negotiation", trickle ICE, and an ICE restart when
 * the path breaks. Where a browser cannot continue over a failed connection, both sides open a
 * replacement with the same tracks. The server is reached through `signaling`: `send(event, data)`,
 * `freshServers()`, `isAway()` and `otherIsAway()`.
 *
 * After the first completed negotiation, a failed one does not end the peer: the side where it
 * failed rolls back and notifies the other side by `refused` in an `ice:candidate` without a
 * candidate. The negotiation is then tried once more with the roles of offerer and answerer
 * exchanged (docs/negotiation.md of the server).
 *
 * Emits `path` (`connected`, `interrupted` or `lost`, the last with a reason), `stream`, `failed`
 * when the first negotiation failed, and `warning` when a later one did.
 */
class Peer extends Emitter {
  #pc;
  #config;
  #signaling;
  /** True if this side yields on glare. */
  #polite;
  #ignoringOffer = false;
  #negotiated = false;
  /** This side's DTLS role, once an answer has decided it. */
  #dtlsRole = null;
  /** The RTP header extension of each id, as first used in this call. */
  #extensionIds = new Map();
  /**
   * Runs while the next offer is the other side's. The two flags note what this side has to offer
   * afterwards.
   */
  #theirOfferTimer = 0;
  #offersLater = false;
  #restartsLater = false;
  /**
   * Number of failed negotiations since the last new reason for one, and whether the current one is
   * a second try.
   */
  #failures = 0;
  #isSecondTry = false;
  /** Set after the last try: nothing is offered until there is a new reason. */
  #gaveUp = false;
  /** The other side's last description, and candidates that arrived before a description. */
  #remoteSdp = '';
  #candidates = [];
  #queue = Promise.resolve();
  #senders = new Map();
  #streams = new Map();
  /** Tracks that have no transceiver yet, each with whether it is to be sent. */
  #pendingTracks = new Map();
  /** Transceivers that were rolled back: reused ones do not show received video in Chromium. */
  #rolledBack = new WeakSet();
  /** Set once a medium was negotiated on this connection and then not received for a while. */
  #hasPaused = false;
  #wasConnected = false;
  #wasLost = false;
  /** Promise of fresh credentials, and of the restart that follows them. */
  #refreshing = null;
  #restarting = null;
  /** Set once the browser sends nothing over this connection any more and a replacement is due. */
  #isBroken = false;
  /** Set on a replacement connection until it has connected. */
  #isReplacement = false;
  /**
   * The other side's last description for the previous connection, and whether an answer for that
   * one may still arrive.
   */
  #previousRemoteSdp = '';
  #expectsLateAnswer = false;
  #restartTimer = 0;
  /** Set while another restart follows if the current one has no effect. */
  #repeatsRestart = false;
  #lossTimer = 0;
  /** Set if the application passed its own ICE servers. */
  #hasOwnServers;

  /** `ice` is what `iceConfig` returns; its policy wins over the application's `config`. */
  constructor(ice, config, polite, signaling) {
    super();
    this.#polite = polite;
    this.#signaling = signaling;
    this.#hasOwnServers = Boolean(config.iceServers);
    this.#config = { iceServers: ice.iceServers, ...config, ...forcedPolicy(ice) };
    this.#openConnection();
    this.#startLossTimer();
  }

  get pc() {
    return this.#pc;
  }

  #openConnection() {
    const pc = new RTCPeerConnection(this.#config);
    this.#pc = pc;
    this.#hasPaused = false;
    pc.onicecandidate = ({ candidate }) => candidate && this.#signaling.send('ice:candidate', { candidate });
    pc.ontrack = ({ track, streams }) => this.emit('stream', streams[0] ?? new MediaStream([track]));
    // The caller makes the first offer, once the call is accepted.
    pc.onnegotiationneeded = () => this.#negotiated && this.#offer();
    pc.onconnectionstatechange = () => this.#onConnectionState(pc.connectionState);
  }

  #closeConnection() {
    this.#stopRestarts();
    clearTimeout(this.#theirOfferTimer);
    const pc = this.#pc;
    pc.onconnectionstatechange = pc.onicecandidate = pc.ontrack = pc.onnegotiationneeded = null;
    pc.close();
  }

  close() {
    this.#stopLossTimer();
    this.#closeConnection();
  }

  // -- Media it sends --

  /**
   * Adds a track: immediately before the first negotiation, otherwise with the next one. A
   * transceiver of the same kind that sends nothing is reused, so that descriptions do not grow.
   */
  add(track, stream) {
    this.#streams.set(track, stream);
    if (!this.#negotiated) this.#senders.set(track, this.#pc.addTrack(track, stream));
    else if (!this.#useIdleTransceiver(track)) this.#pendingTracks.set(track, true);
  }

  /**
   * Sends a track over a transceiver that sends nothing, if there is one. Those rolled back are
   * reused only in an offer of this side.
   */
  #useIdleTransceiver(track, weOffer = false) {
    const used = [...this.#senders.values()];
    const all = this.#pc.getTransceivers().filter(({ sender, receiver }) => receiver.track.kind === track.kind && !used.includes(sender));
    const idle = all.find((each) => !this.#rolledBack.has(each)) ?? (weOffer ? all[0] : undefined);
    if (!idle) return false;
    idle.sender.setStreams(this.#streams.get(track));
    idle.direction = 'sendrecv';
    this.#senders.set(track, idle.sender);
    this.setSending(track, true);
    return true;
  }

  /**
   * Assigns a transceiver to each track that has none: an idle one, or in an offer of this side a
   * new one. `addTrack` is not used: Chromium also reuses rolled-back transceivers for it, and then
   * does not show received video.
   */
  #assignTransceivers(weOffer) {
    for (const [track, sent] of this.#pendingTracks) {
      if (!this.#useIdleTransceiver(track, weOffer)) {
        if (!weOffer) continue;
        const { sender } = this.#pc.addTransceiver(track, { streams: [this.#streams.get(track)] });
        this.#senders.set(track, sender);
      }
      this.#pendingTracks.delete(track);
      this.setSending(track, sent);
    }
  }

  remove(track) {
    this.#pendingTracks.delete(track);
    if (this.#senders.has(track)) this.#pc.removeTrack(this.#senders.get(track));
    this.#senders.delete(track);
    this.#streams.delete(track);
  }

  /** Makes sure that a medium can be received, also if none of it is sent. */
  #receiveKind(kind) {
    const there = this.#pc.getTransceivers().find(({ receiver }) => receiver.track.kind === kind);
    if (!there) this.#pc.addTransceiver(kind, { direction: 'recvonly' });
    else if (there.direction === 'inactive') there.direction = 'recvonly';
    else if (there.direction === 'sendonly') there.direction = 'sendrecv';
  }

  /** Sends an added track, or nothing, which takes less bandwidth than silence or black frames. */
  setSending(track, on) {
    if (this.#pendingTracks.has(track)) this.#pendingTracks.set(track, on);
    const sender = this.#senders.get(track);
    const sent = on ? track : null;
    // Rejected on a connection that has just been closed, which is harmless.
    if (sender && sender.track !== sent) sender.replaceTrack(sent).catch(() => {});
  }

  /** Enables or disables playback of the received tracks. */
  setPlayback(on) {
    for (const { track } of this.#pc.getReceivers()) track.enabled = on;
  }

  // -- ICE path and restarts --

  /** Sets the ICE servers and the forced policy used for gathering from now on. */
  setServers(ice) {
    const changed = { ...(!this.#hasOwnServers && { iceServers: ice.iceServers }), ...forcedPolicy(ice) };
    if (!Object.keys(changed).length) return;
    Object.assign(this.#config, changed);
    this.#pc.setConfiguration?.({ ...this.#pc.getConfiguration(), ...changed });
  }

  /**
   * Gets fresh relay credentials. An offer that arrives meanwhile is answered after that, so that
   * its candidates are gathered from the current relay.
   */
  refresh() {
    // A refresh that is already under way serves all callers.
    this.#refreshing ??= this.#signaling.freshServers().then((ice) => {
      this.#refreshing = null;
      if (ice && this.#pc.signalingState !== 'closed') this.setServers(ice);
    });
    return this.#refreshing;
  }

  /** Restarts ICE with fresh relay credentials. */
  restart() {
    if (this.#isBroken) return this.#replaceConnection();
    this.#restarting ??= this.refresh().then(() => {
      this.#restarting = null;
      if (this.#pc.signalingState === 'closed' || this.#isBroken) return;
      this.#resetFailures();
      if (this.#offersRestarts ?? true) return this.#restartIce();
      this.#signaling.send('ice:candidate', { candidate: null, wants: 'restart' });
      this.#restartsLater = true;
      this.#awaitOffer();
    });
    return this.#restarting;
  }

  /**
   * The other side asks for an ICE restart; a restart offer that is already pending satisfies it.
   */
  #restartWanted() {
    const { pendingLocalDescription, currentLocalDescription } = this.#pc;
    if (!pendingLocalDescription || ufragIn(pendingLocalDescription) === ufragIn(currentLocalDescription)) this.restart();
  }

  #restartIce() {
    // Old versions of Safari lack restartIce().
    if (this.#pc.restartIce) this.#pc.restartIce();
    else this.#offer({ iceRestart: true });
  }

  /**
   * True if this side offers ICE restarts; null where either side may. Between Firefox and another
   * browser, Firefox does: Chromium checks from its new addresses to the other side's old ones as
   * soon as it has made an offer, Firefox replies there, and then Chromium sends to where Firefox
   * no longer receives.
   */
  get #offersRestarts() {
    const [ours, theirs] = [this.#pc.localDescription?.sdp, this.#remoteSdp].map(isFirefox);
    return ours === theirs ? null : ours;
  }

  /** Restarts the loss timer: now that the server is back, a new path can be negotiated. */
  serverIsBack() {
    if (!this.#lossTimer) return;
    this.#stopLossTimer();
    this.#startLossTimer();
  }

  #onConnectionState(state) {
    // A broken connection may report that it is connected again.
    if (this.#isBroken) return;
    this.#stopRestarts();
    this.#isBroken = state === 'failed' && this.#wasConnected && this.#failureIsFinal;
    if (state === 'connected') {
      this.#stopLossTimer();
      this.#wasConnected = true;
      this.#wasLost = this.#isReplacement = false;
      this.emit('path', 'connected');
    } else if (this.#wasLost) {
      // The path may recover, but its loss has already been reported to the call.
    } else if (state === 'disconnected') {
      this.emit('path', 'interrupted');
      this.#restartAfter(RESTART_DELAY_MS);
      // The other side may report the failure while this side never does.
      this.#startLossTimer();
    } else if (state === 'connecting' && this.#wasConnected) {
      // Firefox is looking for another path, and may never report that there is none.
      this.#restartAfter(LATE_CANDIDATES_MS);
      this.#startLossTimer();
    } else if (state === 'failed' && this.#wasConnected) {
      this.emit('path', 'interrupted');
      this.#startLossTimer();
      // A replacement that never connected fails again at once unless something has changed.
      this.#restartAfter(this.#isReplacement ? RESTART_DELAY_MS : 0);
    } else if (state === 'failed') {
      this.#restartTimer = setTimeout(() => this.#losePath('ice_failed'), LATE_CANDIDATES_MS);
    }
  }

  /**
   * Restarts ICE after a delay, and again while that has no effect. Firefox reports no further
   * state for a path without any candidate, for example while the relay is down.
   */
  #restartAfter(ms) {
    this.#stopRestarts();
    this.#repeatsRestart = true;
    this.#restartTimer = setTimeout(() => {
      if (this.#negotiated) this.restart();
      this.#restartAfter(LATE_CANDIDATES_MS);
    }, ms);
  }

  #stopRestarts() {
    clearTimeout(this.#restartTimer);
    this.#repeatsRestart = false;
  }

  /** Starts the timer after which the path counts as lost, unless it already runs. */
  #startLossTimer(since = Date.now()) {
    const [reason, ms] = this.#wasConnected ? ['connection_lost', REPAIR_TIMEOUT_MS] : ['ice_failed', FIRST_PATH_TIMEOUT_MS];
    this.#lossTimer ||= setTimeout(() => {
      this.#lossTimer = 0;
      if (this.#signaling.isAway() && Date.now() - since < SERVER_AWAY_TIMEOUT_MS) this.#startLossTimer(since);
      else this.#losePath(reason);
    }, ms);
  }

  #stopLossTimer() {
    clearTimeout(this.#lossTimer);
    this.#lossTimer = 0;
  }

  #losePath(reason) {
    this.#stopRestarts();
    this.#wasLost = true;
    this.emit('path', 'lost', reason);
  }

  // -- Replacement of the connection --

  /**
   * True if a failed connection cannot recover. In Firefox its DTLS fails as well and stays failed
   * on a new path, whatever the states say: nothing is sent any more. The other side recognizes a
   * replacement by its certificate, so this needs certificates that the application does not set.
   */
  get #failureIsFinal() {
    return isFirefox(this.#pc.localDescription?.sdp) && !this.#config.certificates;
  }

  /** Opens and offers a replacement for a broken connection. */
  async #replaceConnection() {
    const broken = this.#pc;
    await this.refresh();
    this.#enqueue((pc) => {
      // The other side's replacement came first.
      if (pc !== broken) return;
      this.#openReplacement(true);
      this.offer();
    });
  }

  /**
   * Opens a replacement connection that sends the same tracks. The offerer also adds the sections
   * that were received.
   */
  #openReplacement(weOffer) {
    const before = this.#pc;
    const coming = before.getTransceivers().filter(({ currentDirection, direction }) => /recv/.test(currentDirection ?? direction));
    const sent = [...[...this.#senders].map(([track, sender]) => [track, sender.track !== null]), ...this.#pendingTracks];
    this.#expectsLateAnswer = before.signalingState === 'have-local-offer';
    // A connection without a remote description keeps the older one's.
    this.#previousRemoteSdp = this.#remoteSdp || this.#previousRemoteSdp;
    this.#closeConnection();
    this.#negotiated = this.#ignoringOffer = this.#offersLater = this.#restartsLater = this.#isSecondTry = this.#isBroken = false;
    this.#theirOfferTimer = 0;
    this.#dtlsRole = null;
    this.#remoteSdp = '';
    this.#candidates = [];
    this.#isReplacement = true;
    for (const map of [this.#extensionIds, this.#senders, this.#pendingTracks]) map.clear();
    this.#resetFailures();
    this.#openConnection();
    for (const [track, on] of sent) {
      this.add(track, this.#streams.get(track));
      this.setSending(track, on);
    }
    if (weOffer) for (const { receiver } of coming) this.#receiveKind(receiver.track.kind);
    this.#restartAfter(LATE_CANDIDATES_MS);
    this.#startLossTimer();
  }

  /**
   * Prepares for a remote offer and returns the connection that takes it, or null to ignore it. An
   * offer with another certificate belongs to a replacement on the other side, so this side opens
   * one too. If both open replacements at once, the polite side opens a third, since rolling back a
   * first offer leaves state behind.
   */
  async #connectionForOffer(sdp) {
    const of = certificates(sdp);
    const isOurs = this.#isReplacement && !this.#remoteSdp;
    // An offer for the previous connection, sent before the replacement's offer arrived there.
    if (isOurs && of === certificates(this.#previousRemoteSdp)) return null;
    const isAnother = this.#remoteSdp && of && of !== certificates(this.#remoteSdp);
    if (isAnother || (isOurs && this.#polite)) {
      if (!this.#isReplacement) this.emit('path', 'interrupted');
      this.#openReplacement(false);
      return this.#pc;
    }
    if (this.#isBroken || (!this.#polite && this.#pc.signalingState !== 'stable')) return null;
    await this.#rollBack();
    return this.#pc;
  }

  // -- Descriptions and candidates, one step at a time --

  #enqueue(step) {
    this.#queue = this.#queue
      .then(() => (this.#pc.signalingState === 'closed' ? undefined : step(this.#pc)))
      .catch((error) => this.#pc.signalingState !== 'closed' && this.emit('failed', error));
  }

  /**
   * Queues a negotiation step that may fail without ending the call, once there was media. `theirs`
   * is the remote offer that the step is about, if any.
   */
  #negotiate(theirs, step) {
    this.#enqueue(async (pc) => {
      try {
        await step(pc);
      } catch (error) {
        if (!this.#wasConnected || pc.signalingState === 'closed') throw error;
        await this.#negotiationFailed(theirs, error);
      }
    });
  }

  #resetFailures() {
    this.#gaveUp = false;
    this.#failures = 0;
  }

  offer() {
    this.#resetFailures();
    this.#offer();
  }

  #offer(options) {
    this.#negotiate(null, async (pc) => {
      // A remote offer came first; the browser fires negotiationneeded again if this is still
      // needed.
      if (pc.signalingState !== 'stable' || this.#gaveUp) return;
      if (this.#theirOfferTimer) return void (this.#offersLater = true);
      this.#assignTransceivers(true);
      const gathered = this.#watchGathering(pc);
      await pc.setLocalDescription(options && await pc.createOffer(options));
      // With only the old candidates in the offer, Chromium would check those first.
      const restarts = pc.currentLocalDescription && ufragIn(pc.pendingLocalDescription) !== ufragIn(pc.currentLocalDescription);
      if (restarts && this.#offersRestarts) await gathered(GATHERING_TIMEOUT_MS);
      if (pc.signalingState !== 'closed') this.#sendOffer();
    });
  }

  /**
   * Returns a function that waits until an ICE restart has gathered its candidates, so that they
   * are part of the description; later ones are trickled. Must be called before the description is
   * set: right after that, browsers still report the previous gathering as complete.
   */
  #watchGathering(pc) {
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
   * Negotiates an agreed change of media with one offer, made by the impolite side. Two crossing
   * offers would describe the same new medium twice, and Chromium 148 and later rejects an offer in
   * which the id of an RTP header extension differs in meaning from a rolled-back offer.
   */
  offerForBoth({ receive }) {
    this.#resetFailures();
    if (this.#polite) return this.#awaitOffer();
    if (receive) this.#receiveKind(receive);
    this.offer();
  }

  #awaitOffer() {
    clearTimeout(this.#theirOfferTimer);
    this.#theirOfferTimer = setTimeout(() => {
      this.#theirOfferTimer = 0;
      // The other side has not answered yet because somebody is offline; an offer now would only
      // cross with its own.
      if (this.#signaling.isAway() || this.#signaling.otherIsAway()) return this.#awaitOffer();
      if (this.#restartsLater) this.#restartIce();
      if (this.#offersLater || this.#pendingTracks.size) this.#offer();
      this.#restartsLater = this.#offersLater = false;
    }, THEIR_OFFER_TIMEOUT_MS);
  }

  /**
   * Notes a completed negotiation. Changes that waited for it trigger negotiationneeded again if
   * still needed.
   */
  #onNegotiated(answer, ours) {
    clearTimeout(this.#theirOfferTimer);
    this.#theirOfferTimer = 0;
    this.#offersLater = this.#restartsLater = false;
    this.#negotiated = true;
    // After a second try the browser may ask for the same change again; this bounds the
    // repetitions.
    this.#gaveUp = this.#isSecondTry && this.#failures > 1;
    if (!this.#isSecondTry) this.#failures = 0;
    this.#isSecondTry = false;
    const role = dtlsRoleIn(answer);
    this.#dtlsRole = ours ? role : OTHER_DTLS_ROLE[role];
    // A new description restarts the wait for its path.
    if (this.#repeatsRestart) this.#restartAfter(LATE_CANDIDATES_MS);
  }

  /**
   * Sends the local offer with the negotiated DTLS role, which must not change during the DTLS
   * association (RFC 8842 §5.5). Chromium writes `actpass` in each offer, Firefox then takes the
   * other role, and Chromium rejects its answer.
   */
  #sendOffer() {
    this.#signaling.send('signal:offer', { sdp: this.#withoutReusedIds(withDtlsRole(this.#pc.localDescription.sdp, this.#dtlsRole)) });
  }

  /**
   * Removes header extensions whose id had another meaning earlier in the call. Firefox offers such
   * ids for extensions that the other side offered and it did not accept, and Chromium since 148
   * rejects them.
   */
  #withoutReusedIds(sdp) {
    return sdp.split('\r\n').filter((line) => {
      const [, number, extension] = /^a=extmap:(\d+)\S* (\S+)/.exec(line) ?? [];
      if (number && !this.#extensionIds.has(number)) this.#extensionIds.set(number, extension);
      return this.#extensionIds.get(number) === extension;
    }).join('\r\n');
  }

  /**
   * Removes the `mid` header extension from a description between two Firefoxes, once a medium is
   * received again after a pause.
   *
   * From the first packet with a `mid` on, Firefox accepts a section's packets only from sources
   * that have sent one. After a pause that may be just the retransmission source, which also probes
   * for bandwidth, while media comes without a `mid` since that was acknowledged before; the media
   * is then dropped for good. Without the extension Firefox uses the sources listed in the
   * description. Chromium was not seen to send this way, and Firefox receives nothing after an
   * answer of Chromium without the extension.
   */
  #withoutMidExtension(sdp) {
    const pc = this.#pc;
    if (![pc.localDescription?.sdp, sdp].every(isFirefox)) return sdp;
    this.#hasPaused ||= pc.getTransceivers().some(({ currentDirection }) => currentDirection === 'inactive' || currentDirection === 'sendonly');
    const namesItsSources = (section) => /^a=ssrc:/m.test(section) || !/^a=send(recv|only)/m.test(section);
    if (!this.#hasPaused || !sdp.split(/^(?=m=)/m).slice(1).every(namesItsSources)) return sdp;
    return sdp.replace(/^a=extmap:.* urn:ietf:params:rtp-hdrext:sdes:mid\r\n/gm, '');
  }

  /**
   * Corrects a remote offer: removes reused extension ids and fills in the DTLS role if the offer
   * leaves it open.
   */
  #corrected(sdp) {
    return this.#withoutReusedIds(withDtlsRole(sdp, OTHER_DTLS_ROLE[this.#dtlsRole]));
  }

  // -- Failed negotiations --

  /**
   * Handles a local failure to make an offer, or to accept a description: rolls back and notifies
   * the other side.
   */
  async #negotiationFailed(theirs, error) {
    // An offer that one browser rejects it can often make itself, so the roles are exchanged.
    const weOffer = this.#isSecondTry ? null : this.#offersRestarts ?? Boolean(theirs);
    const offers = weOffer === null ? 'nobody' : weOffer ? 'sender' : 'receiver';
    const { pendingLocalDescription, currentLocalDescription, currentRemoteDescription } = this.#pc;
    const [next, now] = theirs ? [theirs, currentRemoteDescription] : [pendingLocalDescription ?? currentLocalDescription, currentLocalDescription];
    const restarts = ufragIn(next) !== ufragIn(now);
    this.#signaling.send('ice:candidate', { candidate: null, refused: true, offers, ...(restarts && { wants: 'restart' }) });
    await this.#retry(weOffer, restarts);
    this.emit('warning', failure('negotiation_failed', `The browsers could not agree on a change: ${error.message}`));
  }

  /** Handles a failure that the other side reports. */
  #otherSideFailed({ offers, wants }) {
    this.#enqueue(async () => {
      // The report is about the previous connection.
      if (this.#isReplacement && !this.#remoteSdp) return;
      await this.#retry(offers === 'nobody' ? null : offers === 'receiver', wants === 'restart');
      this.emit('warning', failure('negotiation_failed', "The other side's browser could not agree on a change."));
    });
  }

  /** Rolls back, and tries once more: `weOffer` is null for no further try. */
  async #retry(weOffer, restarts) {
    this.#failures += 1;
    clearTimeout(this.#theirOfferTimer);
    this.#theirOfferTimer = 0;
    this.#isSecondTry = weOffer !== null;
    this.#gaveUp = !this.#isSecondTry;
    if (weOffer === false) this.#awaitOffer();
    await this.#rollBack();
    if (!weOffer) return;
    // Chromium does not restart ICE by itself after a rollback.
    if (restarts) this.#pc.restartIce?.();
    this.#offer();
  }

  async #rollBack() {
    const pc = this.#pc;
    const rollback = { type: 'rollback' };
    if (pc.signalingState === 'have-remote-offer') await pc.setRemoteDescription(rollback).catch(() => {});
    if (pc.signalingState !== 'have-local-offer') return;
    await pc.setLocalDescription(rollback).catch(() => {});
    for (const [track, sender] of this.#senders) {
      const transceiver = pc.getTransceivers().find((each) => each.sender === sender);
      if (transceiver?.mid !== null) continue;
      this.#pendingTracks.set(track, sender.track !== null);
      this.#senders.delete(track);
      // Chromium never finishes stopping a transceiver that was not negotiated.
      transceiver.direction = 'inactive';
      await sender.replaceTrack(null).catch(() => {});
      this.#rolledBack.add(transceiver);
    }
  }

  /**
   * Handles a description that the server refused to deliver: the pending offer, or else the
   * answer.
   */
  undelivered(error) {
    this.#negotiate(this.#pc.signalingState === 'stable' ? this.#pc.currentRemoteDescription : null, () => { throw error; });
  }

  // -- Messages from the other side --

  handle(event, data) {
    switch (event) {
      case 'signal:offer': return this.describe('offer', data.sdp);
      case 'signal:answer': return this.describe('answer', data.sdp);
      case 'ice:candidate':
        if (data.refused) this.#otherSideFailed(data);
        else if (data.wants === 'restart') this.#restartWanted();
        else this.candidate(data.candidate);
    }
  }

  describe(type, description) {
    // Other clients may send the browser's whole { type, sdp }.
    const sdp = description.sdp ?? description;
    this.#negotiate(type === 'offer' ? { sdp } : null, async (pc) => {
      if (type === 'answer') {
        if (pc.signalingState !== 'have-local-offer') return;
        if (this.#isLateAnswer(sdp)) return void (this.#expectsLateAnswer = false);
        await pc.setRemoteDescription({ type, sdp: this.#withoutMidExtension(this.#withoutReusedIds(sdp)) });
        await this.#setRemoteSdp(sdp);
        return this.#onNegotiated(sdp, false);
      }
      await this.#refreshing;
      pc = await this.#connectionForOffer(sdp);
      this.#ignoringOffer = !pc;
      if (!pc) return;
      await pc.setRemoteDescription({ type, sdp: this.#withoutMidExtension(this.#corrected(sdp)) });
      const restarts = this.#wasConnected && ufragIn({ sdp }) !== ufragIn({ sdp: this.#remoteSdp });
      await this.#setRemoteSdp(sdp);
      this.#assignTransceivers(false);
      const gathered = this.#watchGathering(pc);
      await pc.setLocalDescription();
      if (restarts && isFirefox(sdp)) {
        await gathered(GATHERING_TIMEOUT_MS);
        if (!/^a=candidate/m.test(pc.localDescription.sdp)) await gathered(FIRST_CANDIDATE_TIMEOUT_MS);
      }
      if (pc.signalingState === 'closed') return;
      const answer = this.#withoutReusedIds(pc.localDescription.sdp);
      this.#signaling.send('signal:answer', { sdp: answer });
      this.#onNegotiated(answer, true);
      if (this.#pendingTracks.size) this.#offer();
    });
  }

  /** Returns true for an answer to the last offer of the previous connection. */
  #isLateAnswer(sdp) {
    return this.#expectsLateAnswer && certificates(sdp) === certificates(this.#previousRemoteSdp);
  }

  async #setRemoteSdp(sdp) {
    this.#remoteSdp = sdp;
    // Candidates of the previous connection are dropped.
    const lines = sdp.split(/\r?\n/);
    const belongs = ({ usernameFragment }) => !usernameFragment || lines.includes(`a=ice-ufrag:${usernameFragment}`);
    for (const candidate of this.#candidates.splice(0).filter(belongs)) await this.#addCandidate(candidate);
  }

  candidate(candidate) {
    // The end of candidates needs no action.
    if (!candidate) return;
    if (typeof candidate === 'string') candidate = { candidate, sdpMLineIndex: 0 };
    this.#enqueue(async (pc) => {
      // addIceCandidate() throws without a remote description, so early candidates are queued.
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

  /** Applies a new session's snapshot; what was received already is not applied again. */
  sync({ description, candidates = [] }) {
    const sdp = description?.sdp.sdp ?? description?.sdp;
    if (description && sdp !== this.#remoteSdp && sdp !== this.#previousRemoteSdp) this.describe(description.type, sdp);
    for (const { candidate } of candidates) this.candidate(candidate);
    this.#enqueue((pc) => {
      // The local offer may have been lost with the previous session.
      if (pc.signalingState === 'have-local-offer') this.#sendOffer();
    });
  }
}

// ---- A call ------------------------------------------------------------------------------------

const STATS_INTERVAL_MS = 1_000;
/** Every tenth reading is reported to the server. */
const READINGS_PER_REPORT = 10;

/** The payload of `call:stats`, without figures that the browser does not report. */
const statsPayload = ({ rttMs, jitterMs, lossPercent, path }) => Object.fromEntries(
  Object.entries({ rttMs, jitterMs, lossPercent, path }).filter(([, value]) => value != null),
);

/** Error codes that mean the server no longer has the call. */
const CALL_GONE = ['call_not_found', 'call_ended', 'not_a_participant'];

/** Media state of a participant that has sent no `media:update`. */
const DEFAULT_MEDIA = { muted: false, video: true, held: false };

/** A call as the application sees it: see callbox.d.ts. */
class Call extends Sender {
  id = null;
  remoteStream = null;
  remoteMedia = { ...DEFAULT_MEDIA };
  peerConnected = true;
  connectedAt = 0;
  /** Set once `incoming` was emitted for it. */
  announced = false;

  #box;
  #options;
  #ice;
  #peer = null;
  /** The other side's device, once known. */
  #peerDevice = '';
  #mediaWasSent = false;
  /** Resolves the promise of a pending transfer to another device of this user. */
  #resolveTransfer = null;
  /** True if the other side makes the first offer; this side is then polite. */
  #isCallee;
  /** This side's pending upgrade: its type, and tracks to add. */
  #upgrade = null;
  /** The call type that the other side has asked for. */
  #requestedType = null;
  #relayed = false;
  #statsTimer = 0;

  constructor(box, { direction, peer, peerName = peer, type, options = {}, id = null, metadata, transferFrom, ice = iceConfig({}) }) {
    super();
    this.#box = box;
    this.#options = options;
    this.#ice = ice;
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

  // -- Actions of the application --

  /**
   * Starts an outgoing call. Media is opened first, so that nothing rings if the camera is refused.
   */
  async start() {
    const done = this.#box.starting(this);
    try {
      await this.open(this.#options);
      if (this.over) return;
      const { metadata } = this.#options;
      const payload = { targetUserId: this.peer, callType: this.type, metadata };
      // Timed out on this side, but ringing on the other.
      const late = ({ callId }) => this.#box.notify('call:end', { callId });
      const answer = await this.#box.request('call:initiate', payload, { late });
      this.#box.adopt(this, answer.callId);
      if (this.over) {
        // Hung up before the answer came, so the server does not know yet.
        this.#box.forget(this);
        return void this.#send('call:end');
      }
      this.#ice = iceConfig(answer);
      if (answer.glare) {
        // Glare: the other side called at the same moment, and this side is the callee of the one
        // call.
        this.#isCallee = true;
        this.type = answer.callType;
        if (this.type === 'audio') this.#dropVideo();
        this.#setState('connecting');
        this.#connect();
      } else {
        this.#applyServerState(answer.state);
      }
    } catch (error) {
      if (this.id) this.#send('call:end');
      this.#finish({ reason: 'error', error });
      throw error;
    } finally {
      done();
    }
  }

  /**
   * Accepts an incoming call. The peer connection is opened before the accept is sent, so that no
   * offer can arrive too early.
   */
  async accept(options = {}) {
    if (!this.#isRinging) throw failure('invalid_state', 'This call does not ring here.');
    // Video in an audio call needs an upgrade.
    this.#options = { ...options, video: this.type === 'video' && (options.video ?? true) };
    this.#setState('connecting');
    try {
      await this.open(this.#options);
      if (this.over) return;
      this.#connect();
      await this.#box.request('call:accept', { callId: this.id });
    } catch (error) {
      // Another device was faster, or the caller hung up; `ended` was emitted already.
      if (this.over) return;
      // The caller must not continue to ring, or be left in a call without media.
      if (!(error instanceof CallboxError) || error.code.startsWith('media_')) this.#send('call:reject', { reason: 'rejected' });
      // This user is in another call, and the server would let this one continue to ring.
      if (error.code === 'too_many_calls') this.#send('call:reject', { reason: 'busy' });
      if (error.code === 'connection_lost') this.#send('call:end', { reason: 'connection_lost' });
      this.#finish({ reason: 'error', error });
      throw error;
    }
  }

  reject(reason = 'rejected') {
    if (!this.#isRinging) return;
    this.#send('call:reject', { reason });
    this.#finish({ reason: 'rejected', endedBy: this.#box.userId });
  }

  hangUp() {
    if (this.over) return;
    if (this.#isRinging) return this.reject();
    const early = this.state === 'initiating' || this.state === 'ringing';
    // Before the accept the server treats this as a cancel. A reason given here would be wrong if
    // the other side accepted at this moment.
    if (this.id) this.#send('call:end');
    this.#finish({ reason: early ? 'cancelled' : 'hangup', endedBy: this.#box.userId });
  }

  /**
   * Asks the other side for an upgrade, or agrees to its request. The camera is opened first, as in
   * `start`.
   */
  async upgrade(type = 'video', { video = true, stream } = {}) {
    if (!this.#peer || this.over) throw failure('invalid_state', 'This call is not connected.');
    if (this.type === type && this.#requestedType !== type) return true;
    // A second request for the same type, or agreement to it by the other side, joins the pending
    // one.
    if (this.#upgrade?.type === type) return this.#upgrade.agreed;
    this.#settleUpgrade(false);
    const upgrade = { type, tracks: [], given: Boolean(stream), requestedByOther: false, isConfirmed: false };
    upgrade.agreed = new Promise((resolve) => { upgrade.resolve = resolve; });
    this.#upgrade = upgrade;
    try {
      const opened = await openMedia({ audio: false, video: type === 'video' && video, stream });
      upgrade.tracks = opened.stream.getTracks();
      if (this.#upgrade === upgrade) {
        await this.#box.request('call:upgrade', { callId: this.id, callType: type });
        upgrade.isConfirmed = true;
      }
      // The call has ended, or another upgrade was requested meanwhile.
      else if (!stream) stopTracks(upgrade.tracks);
    } catch (error) {
      if (this.#upgrade === upgrade) this.#settleUpgrade(false);
      // The other side is waiting for an answer to its request.
      if (upgrade.requestedByOther) this.#send('call:upgrade', { callType: type, accept: false });
      throw error;
    }
    return upgrade.agreed;
  }

  /**
   * Hands this side of the call to another device of the same user; resolves to whether it
   * accepted.
   */
  async transfer(deviceId) {
    await this.#box.request('call:transfer', { callId: this.id, deviceId });
    return this.over ? false : new Promise((resolve) => { this.#resolveTransfer = resolve; });
  }

  async send(data) {
    await this.#box.request('call:message', { callId: this.id, data });
  }

  async restartIce() {
    await this.#peer?.restart();
  }

  // -- Events from the box --

  handle(event, data) {
    switch (event) {
      case 'call:ringing': return this.#applyServerState('ringing');
      case 'call:state':
        this.#setPeerDevice(data.call.participants.find(({ userId }) => userId === this.peer)?.deviceId);
        this.#applyType(data.call.type);
        return this.#applyServerState(data.call.state);
      case 'call:accepted':
        this.#peerDevice = data.deviceId;
        return this.#applyServerState('connecting');
      case 'call:transferred':
        if (data.accepted) return this.#setPeerDevice(data.deviceId);
        return this.#settleTransfer(false);
      case 'call:sync': return this.#sync(data);
      case 'call:ended': return this.#finish(data);
      case 'call:reconnecting': return this.#setPeerConnected(false);
      case 'call:reconnected': return this.#setPeerConnected(true);
      case 'ice:servers': return this.setServers(iceConfig(data));
      case 'call:message': return void this.emit('message', data.data);
      case 'call:upgrade': return this.#onUpgradeRequest(data.callType);
      case 'call:upgraded': return this.#onUpgraded(data);
      case 'media:updated':
        this.remoteMedia = { muted: data.muted, video: data.video, held: data.held };
        return void this.emit('media', this.remoteMedia);
      default: this.#peer?.handle(event, data);
    }
  }

  /**
   * Continues after a reconnect. Without a resumed session the server may have forgotten this call.
   */
  async welcomed(resumed) {
    this.#peer?.serverIsBack();
    if (resumed || !this.id) return;
    if (this.#isRinging) {
      try {
        await this.#box.request('call:ring', { callId: this.id });
      } catch (error) {
        this.#finish({ reason: 'connection_lost', error });
      }
    } else if (this.#peer) {
      // A restarted server has a new relay without the old one's allocations.
      const relayed = this.#relayed || await this.#usesRelay();
      await (relayed ? this.#peer?.restart() : this.#peer?.refresh());
    } else {
      await this.#freshServers();
    }
  }

  /** Returns whether the path is relayed, which is not known before the first of the regular readings. */
  async #usesRelay() {
    const reading = await new Meter().read(this.#peer.pc).catch(() => null);
    return reading?.relayed ?? false;
  }

  setServers(ice) {
    if (this.over) return;
    this.#ice = ice;
    this.#peer?.setServers(ice);
  }

  /** Ends the call because the connection is closed, or because another call replaces this one. */
  abandon(reason, error) {
    this.#finish({ reason, error });
  }

  // -- State of the call --

  get over() {
    return this.state === 'ended';
  }

  get #isRinging() {
    return this.direction === 'incoming' && this.state === 'ringing';
  }

  /**
   * Applies the server's state, up to the accept, which may have happened while disconnected. Later
   * states are known here first.
   */
  #applyServerState(state) {
    if (this.#isCallee || this.#peer || this.over) return;
    if (state === 'initiating' || state === 'ringing') return this.#setState(state);
    this.#setState('connecting');
    this.#connect();
    this.#peer.offer();
  }

  #setState(state) {
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
    this.#setState('ended');
    this.#box.forget(this);
    duration ??= this.connectedAt ? (Date.now() - this.connectedAt) / 1000 : 0;
    this.emit('ended', { reason, endedBy, duration, ...(error && { error }) });
  }

  /** Sends a request about this call. If the server no longer has the call, it ends here too. */
  async #request(event, data = {}) {
    try {
      return await this.#box.request(event, { callId: this.id, ...data }, { patient: true });
    } catch (error) {
      if (CALL_GONE.includes(error.code)) this.#finish({ reason: 'connection_lost', error });
      // Without this description the call, or its change, cannot be negotiated.
      else if (error.code === 'payload_too_large' && data.sdp) this.#peer?.undelivered(error);
      return {};
    }
  }

  #send(event, data) {
    this.#request(event, data);
  }

  async #freshServers() {
    const answer = await this.#request('ice:refresh');
    if (!answer.iceServers) return null;
    this.#ice = iceConfig(answer);
    return this.#ice;
  }

  /**
   * Handles a transfer on the other side: the new device knows nothing of the current peer
   * connection.
   */
  #setPeerDevice(device) {
    if (!device || device === this.#peerDevice) return;
    const moved = this.#peer && this.#peerDevice !== '';
    this.#peerDevice = device;
    if (!moved) return;
    this.#peer.close();
    this.#settleUpgrade(false);
    this.#requestedType = null;
    this.remoteMedia = { ...DEFAULT_MEDIA };
    if (this.connectedAt) this.#setState('reconnecting');
    // The side that stays makes the offer, as a caller does.
    this.#isCallee = false;
    this.#connect();
    this.#peer.offer();
  }

  #setPeerConnected(connected) {
    this.peerConnected = connected;
    this.emit('peer', connected);
  }

  // -- Peer connection --

  #connect() {
    const config = { ...this.#box.rtcConfig, ...this.#options.rtcConfig };
    const peer = new Peer(this.#ice, config, this.#isCallee, {
      send: (event, data) => this.#send(event, data),
      freshServers: () => this.#freshServers(),
      isAway: () => this.#box.state !== 'connected',
      otherIsAway: () => !this.peerConnected,
    });
    this.#peer = peer;
    this.#mediaWasSent = false;
    peer.on('stream', (stream) => {
      this.remoteStream = stream;
      peer.setPlayback(!this.held);
      this.emit('stream', stream);
    });
    peer.on('path', (path, reason) => this.#onPath(path, reason));
    peer.on('failed', (error) => this.#negotiationFailed(error));
    peer.on('warning', (error) => this.emit('warning', error));
    this.sendTo(peer, !this.#isCallee);
    this.applyMedia();
    this.#readStats(peer);
  }

  #onPath(path, reason) {
    if (path === 'lost') return this.#endWithoutPath(reason);
    if (path === 'interrupted') {
      if (this.state === 'connected') this.#send('call:reconnecting');
      if (this.connectedAt) this.#setState('reconnecting');
      return;
    }
    this.#send('call:connected');
    if (!this.#mediaWasSent && !this.sendsDefaultMedia) this.#sendMedia();
    this.#mediaWasSent = true;
    this.connectedAt ||= Date.now();
    this.#setState('connected');
  }

  #negotiationFailed({ message }) {
    this.#send('call:end', { reason: 'ice_failed' });
    this.#finish({ reason: 'error', error: failure('negotiation_failed', `The browsers could not agree: ${message}`) });
  }

  #endWithoutPath(reason) {
    this.#send('call:end', { reason });
    // If the server is unreachable as well, the other side is not the cause.
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
      if (this.state !== 'connected' || readings++ % READINGS_PER_REPORT) return;
      // Read by a separate meter, so that the loss is counted since the last report.
      const report = await reported.read(peer.pc).catch(() => null);
      if (report && !this.over) this.#send('call:stats', statsPayload(report));
    }, STATS_INTERVAL_MS);
  }

  // -- Media --

  mediaChanged() {
    if (this.connectedAt) this.#sendMedia();
  }

  #sendMedia() {
    this.#send('media:update', this.media);
  }

  /**
   * Applies a new session's snapshot: pending requests may be decided, or forgotten by a restarted
   * server.
   */
  #sync({ call, upgrade, transferTo, ...relayed }) {
    this.#applyType(call.type);
    if (this.#upgrade?.isConfirmed && upgrade?.from !== this.#box.userId) this.#settleUpgrade(false);
    if (!transferTo) this.#settleTransfer(false);
    if (upgrade?.from !== this.peer) this.#requestedType = null;
    else if (this.#requestedType !== upgrade.callType) this.#onUpgradeRequest(upgrade.callType);
    this.#peer?.sync(relayed);
  }

  #settleTransfer(taken) {
    this.#resolveTransfer?.(taken);
    this.#resolveTransfer = null;
  }

  /**
   * Applies the call type of the server. The `call:upgraded` may have been lost with the old
   * session.
   */
  #applyType(type) {
    if (this.#peer && this.type !== type) this.#onUpgraded({ callType: type, accepted: true });
  }

  #onUpgradeRequest(type) {
    this.#requestedType = type;
    // Both sides asked for the same type, or this side is about to: the server treats that as
    // agreement.
    if (this.#upgrade?.type === type) return void (this.#upgrade.requestedByOther = true);
    const ask = {
      type,
      accept: (options) => this.upgrade(type, options),
      reject: () => this.#send('call:upgrade', { callType: type, accept: false }),
    };
    // Without a handler nobody can agree.
    if (!this.emit('upgrade', ask)) ask.reject();
  }

  #onUpgraded({ callType, accepted }) {
    this.type = callType;
    this.#requestedType = null;
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

  /** Ends the pending upgrade and returns its tracks if it was accepted. */
  #settleUpgrade(accepted) {
    const { tracks = [], given, resolve } = this.#upgrade ?? {};
    this.#upgrade = null;
    resolve?.(accepted);
    if (!accepted && !given) stopTracks(tracks);
    return accepted ? tracks : [];
  }
}

// ---- A room ------------------------------------------------------------------------------------

/** Another participant of a room, over its own peer connection: see callbox.d.ts. */
class Member extends Emitter {
  state = 'connecting';
  remoteStream = null;
  peer;
  #each = new Meter();
  #reported = new Meter();

  constructor({ participantId, userId, name = userId, deviceId, metadata, connected, media }, peer) {
    super();
    Object.assign(this, { id: participantId, userId, name, deviceId, metadata, peerConnected: connected, peer });
    this.remoteMedia = { ...DEFAULT_MEDIA, ...media };
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
      case 'call:reconnecting': return this.setConnected(false);
      case 'call:reconnected': return this.setConnected(true);
      case 'media:updated': return this.setMedia(data);
      default: this.peer.handle(event, data);
    }
  }

  /** Applies the changes that were missed while disconnected. */
  synced({ connected, media }, relayed = {}) {
    if (connected !== this.peerConnected) this.setConnected(connected);
    if (media) this.setMedia(media);
    this.peer.sync(relayed);
  }

  setConnected(connected) {
    this.peerConnected = connected;
    this.emit('peer', connected);
  }

  setMedia({ muted, video = DEFAULT_MEDIA.video, held }) {
    this.remoteMedia = { muted, video, held };
    this.emit('media', this.remoteMedia);
  }

  setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit('state', state);
  }

  /** Reads the statistics, and returns a reading for the server's report if one is due. */
  async measure(due) {
    const reading = await this.#each.read(this.pc).catch(() => null);
    if (reading) this.emit('stats', reading);
    return due && this.state === 'connected' ? this.#reported.read(this.pc).catch(() => null) : null;
  }
}

/** A room as the application sees it: see callbox.d.ts. */
class Room extends Sender {
  participantId = null;
  over = false;

  #box;
  #options;
  #ice = iceConfig({});
  #members = new Map();
  /** Set once `room:join` was sent. */
  #joinSent = false;
  /** Events that arrived before the answer to the join, to be applied after it. */
  #earlyEvents = [];
  #hasMedia = false;
  #freshRequest = null;
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

  // -- Actions of the application --

  /** Opens the media, then joins. */
  async join() {
    try {
      await this.open(this.#options);
      if (!this.over) await this.#sendJoin();
    } catch (error) {
      // The join may have succeeded on the server although it failed here.
      if (this.participantId || error.code === 'connection_lost') this.#request('room:leave', { reason: 'connection_lost' });
      this.#finish({ reason: 'error', error });
      throw error;
    }
  }

  leave() {
    if (this.over) return;
    // Also while the join is unanswered: the server handles requests in order.
    if (this.#joinSent) this.#request('room:leave');
    this.#finish({ reason: 'hangup', endedBy: this.#box.userId });
  }

  async send(data, member) {
    await this.#box.request('call:message', { roomId: this.id, ...(member && { to: member.id }), data });
  }

  async restartIce() {
    await Promise.all(this.peers.map((peer) => peer.restart()));
  }

  // -- Events from the box --

  handle(event, data) {
    if (this.#earlyEvents) return void this.#earlyEvents.push([event, data]);
    const member = this.#members.get(data.fromParticipant ?? data.participantId);
    switch (event) {
      case 'room:joined': return this.#addMember(data.participant, false);
      case 'room:left': return this.#removeMember(member, data.reason);
      case 'room:sync': return this.#sync(data);
      case 'ice:servers': return this.setServers(iceConfig(data));
      case 'call:ended': return this.#onEnded(data);
      case 'call:message': return void this.emit('message', data.data, member);
      default: member?.handle(event, data);
    }
  }

  /**
   * Continues after a reconnect. Without a resumed session the server may have forgotten this
   * participant.
   */
  async welcomed(resumed) {
    for (const peer of this.peers) peer.serverIsBack();
    // A new session repeats the events that the old one received.
    if (!resumed) this.#earlyEvents?.splice(0);
    if (resumed || !this.participantId || this.#earlyEvents) return;
    try {
      await this.#sendJoin();
    } catch (error) {
      this.#finish({ reason: 'connection_lost', error });
    }
  }

  setServers(ice) {
    this.#ice = ice;
    for (const peer of this.peers) peer.setServers(ice);
  }

  abandon(reason, error) {
    this.#finish({ reason, error });
  }

  // -- State of the room --

  async #sendJoin() {
    const rejoins = this.participantId !== null;
    const { metadata } = this.#options;
    const join = () => this.#box.request('room:join', { roomId: this.id, callType: this.type, metadata }, { patient: rejoins });
    this.#joinSent = true;
    this.#earlyEvents ??= [];
    let room = await join();
    if (!rejoins && !this.over && this.#earlyEvents.some(([event]) => event === 'room:sync')) {
      // This is the participant from before the page was loaded, whose peer connections are gone.
      await this.#request('room:leave', { reason: 'connection_lost' });
      if (this.over) return;
      this.#earlyEvents.splice(0);
      room = await join();
    }
    if (this.over) return;
    if (room.participantId === this.participantId) this.setServers(iceConfig(room));
    else this.#onJoined(room);
    const early = this.#earlyEvents;
    this.#earlyEvents = null;
    // An end that arrived before the answer belongs to the previous stay.
    for (const [event, data] of early) if (event !== 'call:ended') this.handle(event, data);
  }

  #onJoined(room) {
    const { callId, callType, participantId, participants } = room;
    // These belong to the room on a previous server.
    for (const member of this.members) this.#removeMember(member, 'connection_lost');
    Object.assign(this, { callId, type: callType, participantId });
    this.#ice = iceConfig(room);
    this.#hasMedia = false;
    for (const participant of participants) this.#addMember(participant, true);
    if (!this.over && !this.sendsDefaultMedia) this.mediaChanged();
    if (!this.over) this.#statsTimer ||= this.#readStats();
  }

  /** Adds a participant. The one that came later offers first and is polite. */
  #addMember(participant, weAreLater) {
    const to = participant.participantId;
    // Already known: announced twice, in an event and in the answer to the join.
    if (this.over || this.#members.has(to)) return;
    const config = { ...this.#box.rtcConfig, ...this.#options.rtcConfig };
    const peer = new Peer(this.#ice, config, weAreLater, {
      send: (event, data) => this.#request(event, { to, ...data }),
      freshServers: () => this.#freshServers(),
      isAway: () => this.#box.state !== 'connected',
      otherIsAway: () => !this.#members.get(to)?.peerConnected,
    });
    const member = new Member(participant, peer);
    this.#members.set(to, member);
    peer.on('stream', () => peer.setPlayback(!this.held));
    peer.on('path', (path) => this.#onPath(member, path));
    peer.on('failed', () => member.setState('failed'));
    peer.on('warning', (error) => this.emit('warning', error, member));
    this.sendTo(peer, weAreLater);
    this.applyMediaTo(peer);
    if (weAreLater) peer.offer();
    this.emit('joined', member);
  }

  #removeMember(member, reason) {
    if (!member) return;
    this.#members.delete(member.id);
    member.peer.close();
    member.setState('left');
    this.emit('left', member, reason);
  }

  #sync({ participants, relayed }) {
    const there = new Set(participants.map(({ participantId }) => participantId));
    for (const member of this.members) if (!there.has(member.id)) this.#removeMember(member, 'connection_lost');
    for (const participant of participants) {
      const id = participant.participantId;
      this.#addMember(participant, false);
      this.#members.get(id)?.synced(participant, relayed.find(({ fromParticipant }) => fromParticipant === id));
    }
  }

  /**
   * Unlike in a call, a lost path to one member is not reported to the server: the other paths go
   * on.
   */
  #onPath(member, path) {
    if (path !== 'connected') return member.setState(path === 'lost' ? 'failed' : 'reconnecting');
    if (!this.#hasMedia) this.#request('call:connected');
    this.#hasMedia = true;
    member.setState('connected');
  }

  #onEnded(end) {
    // The event may be about an earlier stay. After a restart the next server admits this
    // participant again, and media may continue until then.
    if (end.callId === this.callId && end.reason !== 'server_shutdown') this.#finish(end);
  }

  #finish({ reason, endedBy = null, error }) {
    if (this.over) return;
    this.over = true;
    clearInterval(this.#statsTimer);
    for (const member of this.members) {
      member.peer.close();
      member.setState('left');
    }
    this.#members.clear();
    this.release();
    this.#box.forgetRoom(this);
    this.emit('ended', { reason, endedBy, ...(error && { error }) });
  }

  /**
   * Sends a request about this room and ignores errors: the addressed member may have left, and
   * `call:ended` reports if this participant is out.
   */
  #request(event, data) {
    return this.#box.request(event, { roomId: this.id, ...data }, { patient: true }).catch(() => ({}));
  }

  /** Gets fresh relay credentials; one request serves all peers that restart. */
  #freshServers() {
    this.#freshRequest ??= this.#request('ice:refresh').then((answer) => {
      this.#freshRequest = null;
      return answer.iceServers ? iceConfig(answer) : null;
    });
    return this.#freshRequest;
  }

  mediaChanged() {
    if (this.participantId) this.#request('media:update', this.media);
  }

  /** Reports one reading for this participant: the worst value of each figure over all peers. */
  #readStats() {
    let readings = 0;
    return setInterval(async () => {
      const due = readings++ % READINGS_PER_REPORT === 0;
      const reports = (await Promise.all(this.members.map((member) => member.measure(due)))).filter(Boolean);
      if (!reports.length || this.over) return;
      const worst = (name) => Math.max(...reports.map((report) => report[name] ?? -1));
      const figures = ['rttMs', 'jitterMs', 'lossPercent'].map((name) => [name, worst(name)]).filter(([, value]) => value >= 0);
      const path = reports.find(({ relayed }) => relayed)?.path ?? reports[0].path;
      this.#request('call:stats', statsPayload({ ...Object.fromEntries(figures), path }));
    }, STATS_INTERVAL_MS);
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
  /** Outgoing calls whose `call:initiate` is not answered yet. */
  #starting = new Set();
  /** Blocked users. Sessions do not preserve the list, so it is sent again to a new one. */
  #blocked = new Set();
  #listenerRemovers = [];

  constructor(url, { token, deviceId, rtcConfig = {} }) {
    super();
    this.rtcConfig = rtcConfig;
    this.deviceId = deviceId ?? this.#deviceOfThisTab();
    this.#connection = new Connection(address(url), token, this.deviceId);
    this.#connection.on('state', (state, error) => {
      if (state === 'closed') this.#onClosed(error);
      this.emit('state', state, error);
    });
    this.#connection.on('event', (event, data) => this.#onEvent(event, data));
    // A page in the back-forward cache is in no call, but may be shown again.
    this.#listen(globalThis, 'pagehide', ({ persisted }) => (persisted ? this.#hangUp() : this.close()));
    this.#listen(globalThis, 'online', () => this.#networkChanged());
    // Listens for a change of the network's type; the browser also fires the event for new
    // estimates of its speed.
    const network = globalThis.navigator?.connection;
    let type = network?.type;
    this.#listen(network, 'change', () => {
      if (network.type !== type) this.#networkChanged();
      type = network.type;
    });
  }

  /** One of `connecting`, `connected`, `reconnecting` and `closed`. */
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

  /** Creates an outgoing call; `start()` opens the media and makes it ring. */
  createCall(peer, options = {}) {
    return new Call(this, { direction: 'outgoing', peer, type: typeOf(options), options });
  }

  /** Calls a user and returns the call once the server has it. */
  async call(peer, options) {
    const call = this.createCall(peer, options);
    await call.start();
    return call;
  }

  /** Joins a room and returns it with its current members. */
  async join(roomId, options = {}) {
    if (this.state === 'closed') throw failure('closed', 'The connection to the server is closed.');
    if (this.#rooms.has(roomId)) throw failure('invalid_state', 'This box is in that room already, or about to be.');
    const room = new Room(this, roomId, typeOf(options), options);
    this.#rooms.set(roomId, room);
    await room.join();
    return room;
  }

  /** Refuses calls from a user for the lifetime of this box, on all devices of this user. */
  async block(userId) {
    this.#blocked.add(userId);
    try {
      await this.request('user:block', { userId });
    } catch (error) {
      this.#blocked.delete(userId);
      throw error;
    }
  }

  /** Accepts calls from the user again. */
  async unblock(userId) {
    this.#blocked.delete(userId);
    await this.request('user:block', { userId, blocked: false });
  }

  /** Sends any request of the protocol and returns the answer. */
  request(event, data, options) {
    return this.#connection.request(event, data, options);
  }

  /** Ends all calls and closes the connection for good. */
  close() {
    this.#hangUp();
    this.#connection.close();
  }

  #hangUp() {
    for (const call of this.calls) {
      // A call that only rings here may be accepted on another device.
      if (call.direction === 'outgoing' || call.state !== 'ringing') call.hangUp();
    }
    for (const room of this.rooms) room.leave();
  }

  // -- For its calls and rooms --

  /**
   * Notes an outgoing call; returns a function to call once its request is answered or given up.
   */
  starting(call) {
    this.#starting.add(call);
    return () => {
      this.#starting.delete(call);
      // If the outgoing call failed, a crossing incoming one rings after all.
      const crossed = this.calls.find(({ direction, peer, announced }) => direction === 'incoming' && peer === call.peer && !announced);
      if (crossed) this.#announce(crossed);
    };
  }

  /** Sends a request without a deadline and ignores its answer. */
  notify(event, data) {
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

  #onEvent(event, data) {
    const call = this.#calls.get(data?.callId);
    const room = this.#rooms.get(data?.roomId);
    if (event === 'session:welcome') this.#onWelcome(data);
    else if (room) room.handle(event, data);
    else if (event === 'call:incoming') this.#onIncoming(data);
    else if (call) call.handle(event, data);
    // A reloaded page receives a call that it cannot continue.
    else if (event === 'call:sync') this.notify('call:end', { callId: data.callId, reason: 'connection_lost' });
    else if (event === 'room:sync') this.notify('room:leave', { roomId: data.roomId, reason: 'connection_lost' });
    this.emit(event, data);
  }

  #onWelcome({ userId, sessionId, resumed, iceServers }) {
    const first = !this.sessionId;
    Object.assign(this, { userId, sessionId, iceServers });
    if (first) return;
    if (!resumed) for (const userId of this.#blocked) this.notify('user:block', { userId });
    for (const party of this.#parties) party.welcomed(resumed);
  }

  #onIncoming(incoming) {
    const { callId, callerId, callerName, callType, metadata, transferFrom } = incoming;
    const ice = iceConfig(incoming);
    // A new session announces the call again.
    if (this.#calls.has(callId)) return this.#calls.get(callId).setServers(ice);
    const call = new Call(this, { direction: 'incoming', id: callId, peer: callerId, peerName: callerName, type: callType, metadata, transferFrom, ice });
    this.#calls.set(callId, call);
    // On glare the server merges the two calls, so this one is not announced.
    if (![...this.#starting].some(({ peer }) => peer === callerId)) this.#announce(call);
  }

  #announce(call) {
    call.announced = true;
    if (this.emit('incoming', call)) this.request('call:ring', { callId: call.id }).catch(() => {});
  }

  /**
   * Restarts ICE everywhere. The request also checks the connection: one without an answer is
   * closed.
   */
  #networkChanged() {
    this.#connection.reconnectNow();
    this.request('ice:refresh').then(({ callId, iceServers }) => {
      if (!callId) this.iceServers = iceServers;
    }).catch(() => {});
    for (const party of this.#parties) party.restartIce();
  }

  #onClosed(error) {
    for (const off of this.#listenerRemovers.splice(0)) off();
    for (const party of this.#parties) party.abandon('connection_lost', error);
  }

  #listen(target, event, handler) {
    target?.addEventListener?.(event, handler);
    this.#listenerRemovers.push(() => target?.removeEventListener?.(event, handler));
  }

  /**
   * Returns the device id of this tab, which survives a reload. It is stored only while no page
   * uses it: a duplicated tab gets a copy of the storage, and must not replace the session of the
   * original.
   */
  #deviceOfThisTab() {
    let id = `web-${randomName()}`;
    try {
      id = sessionStorage.getItem(DEVICE_KEY) ?? id;
      sessionStorage.removeItem(DEVICE_KEY);
      this.#listen(globalThis, 'pagehide', ({ persisted }) => !persisted && sessionStorage.setItem(DEVICE_KEY, id));
    } catch {
      // There is no storage, or none for this page.
    }
    return id;
  }
}

/** Returns the WebSocket's address for the server's address. */
function address(url) {
  const at = new URL(url, globalThis.location?.href);
  at.protocol = at.protocol.replace(/^http/, 'ws');
  at.search = at.hash = '';
  at.pathname = at.pathname.replace(/(\/ws)?\/?$/, '/ws');
  return at.href;
}

/**
 * Connects to a callbox server and returns the box, which stays connected from then on. `token` is
 * a string, or an async function that is called for one at each connection and before the last one
 * expires.
 */
export async function connect(url, options) {
  const box = new Box(url, options);
  await box.open();
  return box;
}
