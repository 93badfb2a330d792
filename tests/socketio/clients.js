// Two kinds of client with one face: an unmodified socket.io-client, and a plain WebSocket that
// speaks the frames of docs/protocol.md. Each writes down what it sends and hears.

import { io } from 'socket.io-client';
import { WebSocket } from 'ws';

const WITHIN_MS = 5_000;

/** What a client hears that has to name the events. */
const EVENTS = [
  'session:welcome', 'call:incoming', 'call:accepted', 'call:state', 'call:ended', 'call:sync', 'call:reconnecting',
  'call:reconnected', 'ice:candidate', 'signal:offer', 'signal:answer',
];

/** What both kinds share: the transcript, and waiting for events. */
class Client {
  /** Everything sent and heard, in order: `{ who, way: 'C→S' | 'S→C', event, data }`. */
  transcript;
  #heard = [];
  #waiting = [];

  constructor(name, transcript = []) {
    this.name = name;
    this.transcript = transcript;
  }

  sent(event, data) {
    this.transcript.push({ who: this.name, way: 'C→S', event, data });
  }

  heard(event, data) {
    this.transcript.push({ who: this.name, way: 'S→C', event, data });
    const at = this.#waiting.findIndex((waiter) => waiter.event === event);
    if (at < 0) return void this.#heard.push({ event, data });
    const [waiter] = this.#waiting.splice(at, 1);
    clearTimeout(waiter.timer);
    waiter.resolve(data);
  }

  /** The next event of this name that nobody has taken yet. */
  next(event) {
    const at = this.#heard.findIndex((heard) => heard.event === event);
    if (at >= 0) return Promise.resolve(this.#heard.splice(at, 1)[0].data);
    return new Promise((resolve, reject) => {
      const waiter = { event, resolve };
      waiter.timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        const seen = this.transcript.filter((line) => line.who === this.name).map((line) => `${line.way} ${line.event}`);
        reject(new Error(`${this.name} did not hear ${event} in ${WITHIN_MS} ms; so far: ${seen.join(', ')}`));
      }, WITHIN_MS);
      this.#waiting.push(waiter);
    });
  }

  /** Ends the call it may be in, so that no side is waited for, and closes. */
  async leave() {
    if (this.connected) await this.request('call:end', {}).catch(() => {});
    this.close();
  }

  /** Whether an event of this name has come and was not taken. */
  has(event) {
    return this.#heard.some((heard) => heard.event === event);
  }
}

/** An unmodified socket.io-client. */
export class SocketIoClient extends Client {
  /**
   * Connects and waits for `session:welcome`. `options` go to `io()`, which may be one of another
   * version of the library.
   */
  static async connect(server, name, token, { transcript, auth = {}, library = io, ...options } = {}) {
    const client = new SocketIoClient(name, transcript);
    const socket = library(server.socketIo, { auth: { token, ...auth }, reconnection: false, forceNew: true, ...options });
    client.socket = socket;
    if (socket.onAny) socket.onAny((event, data) => client.heard(event, data));
    else for (const event of EVENTS) socket.on(event, (data) => client.heard(event, data));
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('connect_error', reject);
    });
    client.welcome = await client.next('session:welcome');
    return client;
  }

  /** `socket.emit(event, data)`, as in the seed: no answer is wanted. */
  emit(event, data) {
    this.sent(event, data);
    this.socket.emit(event, data);
  }

  /** `socket.emit(event, data, callback)`: the acknowledgement is the answer. */
  async request(event, data) {
    this.sent(event, data);
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

  /** Leaves for good. */
  close() {
    this.socket.disconnect();
  }

  /** Loses its connection, as when the network goes. */
  lose() {
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

  /** Connects and says hello; `hello` goes into the first frame. */
  static async connect(server, name, token, { hello = {}, ...options } = {}) {
    const client = await WebSocketClient.open(server, name, options);
    client.write({ event: 'session:hello', id: client.#nextId++, data: { token, protocol: 1, ...hello } });
    client.welcome = await client.next('session:welcome');
    return client;
  }

  #receive({ event, re, data }) {
    const pending = event === undefined && this.#pending.get(re);
    if (!pending) return this.heard(event ?? `answer:${re}`, data);
    this.#pending.delete(re);
    pending(data);
  }

  /** Sends a frame as it is. */
  write(frame) {
    this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  /** An event that wants no answer. */
  emit(event, data) {
    this.sent(event, data);
    this.write({ event, data });
  }

  /** A request; the frame that answers it is the answer. */
  request(event, data) {
    this.sent(event, data);
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

  /** Leaves for good. */
  close() {
    this.socket.close(1000);
  }

  /** Loses its connection, as when the network goes. */
  lose() {
    this.socket.terminate();
  }
}
