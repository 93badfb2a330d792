// The server that callbox is compared with: the call flow's handlers on a socket.io server, as a
// simple application would write them. It checks tokens, tracks users and calls, and relays
// messages between the sides. It has no limits, session resume, multiple devices or records.
//
//   JWT_SECRET=… node server.js        prints { "url", "pid" } once it listens on a free port

import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const secret = process.env.JWT_SECRET;

/** Returns the `sub` of a valid HS256 token, or undefined. */
function userOf(token) {
  const [header, payload, signature] = String(token).split('.');
  const expected = createHmac('sha256', secret).update(`${header}.${payload}`).digest();
  const given = Buffer.from(signature ?? '', 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const { alg } = JSON.parse(Buffer.from(header, 'base64url'));
  const { sub, exp } = JSON.parse(Buffer.from(payload, 'base64url'));
  return alg === 'HS256' && exp > Date.now() / 1000 ? sub : undefined;
}

const http = createServer();
// Settings of large deployments: no polling, no compression.
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false });
const users = new Map();
const calls = new Map();

io.use((socket, next) => {
  socket.data.user = userOf(socket.handshake.auth.token);
  next(socket.data.user ? undefined : new Error('unauthorized'));
});

io.on('connection', (socket) => {
  const { user } = socket.data;
  users.set(user, socket);

  /** Returns the other side of a call that this user is in. */
  const other = (call) => {
    if (call?.caller === user) return users.get(call.callee);
    if (call?.callee === user) return users.get(call.caller);
    return undefined;
  };
  const end = (callId, reason) => {
    const call = calls.get(callId);
    if (!calls.delete(callId)) return;
    const duration = call.startedAt ? (Date.now() - call.startedAt) / 1000 : 0;
    other(call)?.emit('call:ended', { callId, reason, endedBy: user, duration });
  };

  socket.on('call:initiate', ({ targetUserId, callType }, answer) => {
    const callee = users.get(targetUserId);
    if (!callee) return answer?.({ ok: false, error: { code: 'offline', message: 'Nobody is there.' } });
    const callId = randomUUID();
    calls.set(callId, { caller: user, callee: targetUserId, state: 'ringing' });
    answer?.({ ok: true, callId, state: 'ringing' });
    callee.emit('call:incoming', { callId, callerId: user, callType });
  });
  socket.on('call:accept', ({ callId }) => {
    const call = calls.get(callId);
    if (call?.callee !== user || call.state !== 'ringing') return;
    Object.assign(call, { state: 'connecting', startedAt: Date.now() });
    users.get(call.caller)?.emit('call:accepted', { callId, calleeId: user });
  });
  for (const event of ['ice:candidate', 'signal:offer', 'signal:answer']) {
    socket.on(event, (data) => other(calls.get(data.callId))?.emit(event, { ...data, from: user }));
  }
  socket.on('call:end', ({ callId }) => end(callId, 'hangup'));
  socket.on('disconnect', () => {
    if (users.get(user) !== socket) return;
    users.delete(user);
    for (const [callId, call] of calls) {
      if (call.caller === user || call.callee === user) end(callId, 'connection_lost');
    }
  });
});

http.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${http.address().port}`, pid: process.pid }));
});
