// The part of RTCPeerConnection that the client negotiates with, driven by tests. Each has its own
// certificate, and describes itself as the browser that `browser` names.

/**
 * All opened connections, the latest last, and the originator in their descriptions (`mozilla…` for
 * Firefox).
 */
export const connections = [];
export const browser = { name: '-' };

/** Returns a description by a browser, identified by its certificate and its ICE ufrag. */
export const description = (name, certificate, path) => `v=0\r\no=${name} 1 1 IN IP4 0.0.0.0\r\na=ice-ufrag:${path}\r\na=fingerprint:sha-256 ${certificate}\r\na=setup:active\r\n`;

export class FakePeerConnection extends EventTarget {
  signalingState = 'stable';
  connectionState = 'new';
  iceGatheringState = 'new';
  pendingLocalDescription = null;
  currentLocalDescription = null;
  remoteDescription = null;
  currentRemoteDescription = null;
  restarts = 0;
  candidates = [];
  #transceivers = [];

  constructor(config) {
    super();
    this.config = config;
    this.name = `c${connections.push(this)}`;
  }

  get localDescription() {
    return this.pendingLocalDescription ?? this.currentLocalDescription;
  }

  getConfiguration() { return this.config; }
  setConfiguration(config) { this.config = config; }
  getTransceivers() { return this.#transceivers; }
  getReceivers() { return this.#transceivers.map(({ receiver }) => receiver); }
  getSenders() { return this.#transceivers.map(({ sender }) => sender); }
  async getStats() { return new Map(); }
  async addIceCandidate(candidate) { this.candidates.push(candidate); }
  restartIce() { this.restarts += 1; }

  addTransceiver(kind, { direction }) {
    const sender = { track: null, async replaceTrack(track) { this.track = track; } };
    const transceiver = { sender, receiver: { track: { kind } }, direction, currentDirection: null, mid: null };
    this.#transceivers.push(transceiver);
    return transceiver;
  }

  addTrack(track) {
    const { sender } = this.addTransceiver(track.kind, { direction: 'sendrecv' });
    sender.track = track;
    return sender;
  }

  async setLocalDescription() {
    const answers = this.signalingState === 'have-remote-offer';
    const made = { type: answers ? 'answer' : 'offer', sdp: description(browser.name, this.name, `${this.name}.${this.restarts}`) };
    if (answers) this.currentLocalDescription = made;
    else this.pendingLocalDescription = made;
    this.signalingState = answers ? 'stable' : 'have-local-offer';
  }

  async setRemoteDescription(given) {
    if (given.type === 'answer') [this.currentLocalDescription, this.pendingLocalDescription] = [this.localDescription, null];
    this.signalingState = given.type === 'answer' ? 'stable' : 'have-remote-offer';
    this.remoteDescription = this.currentRemoteDescription = given;
  }

  close() { this.signalingState = this.connectionState = 'closed'; }

  // -- Events of the network --

  is(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  gathers(state) {
    this.iceGatheringState = state;
    this.dispatchEvent(new Event('icegatheringstatechange'));
  }
}
