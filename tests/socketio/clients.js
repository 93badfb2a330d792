// Two kinds of client with the same interface: an unmodified socket.io-client, and a plain
// WebSocket with the frames of docs/protocol.md. Each records what it sends and receives.

import { io } from 'socket.io-client';
import { WebSocket } from 'ws';

const WITHIN_MS = 5_000;

/** Events to subscribe to by name, for clients without `onAny`. */
const EVENTS = [
  'session:welcome', 'call:incoming', 'call:accepted', 'call:state', 'call:ended', 'call:sync', 'call:reconnecting',
  'call:reconnected', 'ice:candidate', 'signal:offer', 'signal:answer',
];

/** The transcript and the received events, common to both kinds. */
class Client {
  /** Everything sent and received, in order: `{ who, way: 'C→S' | 'S→C', event, data }`. */
  transcript;
  #received = [];
  #waiting = [];

  constructor(name, transcript = []) {
    this.name = name;
    this.transcript = transcript;
  }

  noteSent(event, data) {
    this.transcript.push({ who: this.name, way: 'C→S', event, data });
  }

  noteReceived(event, data) {
    this.transcript.push({ who: this.name, way: 'S→C', event, data });
    const at = this.#waiting.findIndex((waiter) => waiter.event === event);
    if (at < 0) return void this.#received.push({ event, data });
    const [waiter] = this.#waiting.splice(at, 1);
    clearTimeout(waiter.timer);
    waiter.resolve(data);
  }

  /**
   * Returns the next event of this name that was not returned before, waiting for it if necessary.
   */
  next(event) {
    const at = this.#received.findIndex((received) => received.event === event);
    if (at >= 0) return Promise.resolve(this.#received.splice(at, 1)[0].data);
    return new Promise((resolve, reject) => {
      const waiter = { event, resolve };
      waiter.timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        const seen = this.transcript.filter((line) => line.who === this.name).map((line) => `${line.way} ${line.event}`);
        reject(new Error(`${this.name} did not receive ${event} in ${WITHIN_MS} ms; so far: ${seen.join(', ')}`));
      }, WITHIN_MS);
      this.#waiting.push(waiter);
    });
  }

  /** Ends the client's call, so that the server does not wait for its return, and closes. */
  async leave() {
    if (this.connected) await this.request('call:end', {}).catch(() => {});
    this.close();
  }

  /** Returns true if an event of this name has arrived and was not returned by `next`. */
  has(event) {
    return this.#received.some((received) => received.event === event);
  }
}

/** An unmodified socket.io-client. */
export class SocketIoClient extends Client {
  /**
   * Connects and waits for `session:welcome`. `options` are passed to `io()`; `library` may be the
   * `io()` of another version.
   */
  static async connect(server, name, token, { transcript, auth = {}, library = io, ...options } = {}) {
    const client = new SocketIoClient(name, transcript);
    const socket = library(server.socketIo, { auth: { token, ...auth }, reconnection: false, forceNew: true, ...options });
    client.socket = socket;
    if (socket.onAny) socket.onAny((event, data) => client.noteReceived(event, data));
    else for (const event of EVENTS) socket.on(event, (data) => client.noteReceived(event, data));
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('connect_error', reject);
    });
    client.welcome = await client.next('session:welcome');
    return client;
  }

  /** Emits an event without a callback, as in the call flow. */
  emit(event, data) {
    this.noteSent(event, data);
    this.socket.emit(event, data);
  }

  /** Emits an event with a callback and returns the acknowledgement. */
  async request(event, data) {
    this.noteSent(event, data);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${event} was not answered in ${WITHIN_MS} ms`)), WITHIN_MS);
      this.socket.emit(event, data, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
    });
  }

  get connected() {
    return this.socket.connected;
  }

  /** Resolves with the reason when the server or the network closes the connection. */
  closed() {
    return new Promise((resolve) => {
      if (this.socket.disconnected) resolve('already');
      else this.socket.once('disconnect', resolve);
    });
  }

  /** Closes the connection, which ends the session. */
  close() {
    this.socket.disconnect();
  }

  /** Drops the connection, as a network failure does. */
  dropConnection() {
    this.socket.io.engine.close();
  }
}

/** A plain WebSocket. */
export class WebSocketClient extends Client {
  #nextId = 1;
  #pending = new Map();

  static async open(server, name, { transcript, ...options } = {}) {
    const client = new WebSocketClient(name, transcript);
    const socket = new WebSocket(server.websocket, options);
    client.socket = socket;
    client.ended = new Promise((resolve) => socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })));
    socket.on('message', (text) => client.#receive(JSON.parse(text)));
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    socket.on('error', () => {});
    return client;
  }

  /** Connects and sends a hello; `hello` is added to its data. */
  static async connect(server, name, token, { hello = {}, ...options } = {}) {
    const client = await WebSocketClient.open(server, name, options);
    client.write({ event: 'session:hello', id: client.#nextId++, data: { token, protocol: 1, ...hello } });
    client.welcome = await client.next('session:welcome');
    return client;
  }

  #receive({ event, re, data }) {
    const pending = event === undefined && this.#pending.get(re);
    if (!pending) return this.noteReceived(event ?? `answer:${re}`, data);
    this.#pending.delete(re);
    pending(data);
  }

  /** Sends a frame unchanged. */
  write(frame) {
    this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  /** Sends an event without an id, which gets no answer. */
  emit(event, data) {
    this.noteSent(event, data);
    this.write({ event, data });
  }

  /** Sends an event with an id and returns the answer. */
  request(event, data) {
    this.noteSent(event, data);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${event} was not answered in ${WITHIN_MS} ms`)), WITHIN_MS);
      this.#pending.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.write({ event, id, data });
    });
  }

  get connected() {
    return this.socket.readyState === WebSocket.OPEN && this.welcome !== undefined;
  }

  closed() {
    return this.ended;
  }

  /** Closes the connection, which ends the session. */
  close() {
    this.socket.close(1000);
  }

  /** Drops the connection, as a network failure does. */
  dropConnection() {
    this.socket.terminate();
  }
}
