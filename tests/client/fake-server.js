// A WebSocket whose server is the test.

import { connect } from '../../clients/js/callbox.js';

const open = [];

class FakeWebSocket {
  sent = [];
  closed = null;

  constructor(url) {
    this.url = url;
    open.push(this);
  }

  // -- Called by the client --

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closed = code;
  }

  // -- Called by the test, as the server --

  deliver(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  answer(request, data = {}) {
    this.deliver({ re: request.id, data: { ok: true, ...data } });
  }

  /** Returns the last frame sent with an event name. */
  last(event) {
    return this.sent.findLast((frame) => frame.event === event);
  }

  end(code = 1006, reason = '') {
    this.onclose?.({ code, reason });
  }
}

globalThis.WebSocket = FakeWebSocket;

/** An empty media stream, so that calls and rooms need not open devices. */
export const stream = { getTracks: () => [], getVideoTracks: () => [] };

/** Drops the sockets of earlier tests. */
export const forgetSockets = () => open.splice(0);

/** Waits until pending promises have settled. */
export const settle = () => new Promise((resolve) => { setImmediate(resolve); });

/** Returns the socket that the client opens next, or has just opened. */
export async function connection() {
  await settle();
  return open.pop();
}

/** Returns that socket after the server has welcomed it. */
export async function welcomed({ sessionId = 's1', resumed = false } = {}) {
  const socket = await connection();
  socket.onopen();
  socket.deliver({ event: 'session:welcome', re: socket.last('session:hello').id, data: { sessionId, userId: 'alice', resumed, iceServers: [] } });
  await settle();
  return socket;
}

/** Returns a box and its welcomed socket. */
export async function connected(options = {}) {
  const pending = connect('https://callbox.example', { token: 'a token', deviceId: 'laptop', ...options });
  const socket = await welcomed();
  return { box: await pending, socket };
}
