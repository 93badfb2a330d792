// A WebSocket whose other end is the test, in place of the one that browsers have.

import { connect } from '../../clients/js/callbox.js';

const open = [];

class FakeWebSocket {
  sent = [];
  closed = null;

  constructor(url) {
    this.url = url;
    open.push(this);
  }

  // -- What the client does --

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closed = code;
  }

  // -- What the server does --

  tell(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  answer(request, data = {}) {
    this.tell({ re: request.id, data: { ok: true, ...data } });
  }

  /** What was sent under a name, the last time. */
  last(event) {
    return this.sent.findLast((frame) => frame.event === event);
  }

  end(code = 1006, reason = '') {
    this.onclose?.({ code, reason });
  }
}

globalThis.WebSocket = FakeWebSocket;

/** Media with nothing in it, for calls and rooms that need not open any. */
export const stream = { getTracks: () => [], getVideoTracks: () => [] };

/** What an earlier test left. */
export const forget = () => open.splice(0);

/** Lets what is pending go on. */
export const settle = () => new Promise((resolve) => { setImmediate(resolve); });

/** The connection that the client makes next, or has just made. */
export async function connection() {
  await settle();
  return open.pop();
}

/** The same, opened and with a session. */
export async function welcomed({ sessionId = 's1', resumed = false } = {}) {
  const socket = await connection();
  socket.onopen();
  socket.tell({ event: 'session:welcome', re: socket.last('session:hello').id, data: { sessionId, userId: 'alice', resumed, iceServers: [] } });
  await settle();
  return socket;
}

/** A box with such a connection. */
export async function connected(options = {}) {
  const asked = connect('https://callbox.example', { token: 'a token', deviceId: 'laptop', ...options });
  const socket = await welcomed();
  return { box: await asked, socket };
}
