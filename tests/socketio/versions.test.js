// Tests older versions of socket.io-client, unmodified: each runs the call flow with a client of
// the newest version.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import io2 from 'socket.io-client-2';
import io3 from 'socket.io-client-3';
import { io as io45 } from 'socket.io-client-4.5';
import { SocketIoClient } from './clients.js';
import { runDiagram } from './flow.js';
import { startServer } from './server.js';

let server;
before(async () => { server = await startServer({ name: 'versions' }); });
after(async () => { assert.equal(await server?.stop(), 0); });

/** Passes the token as a header, for clients without `auth`. */
const inHeader = (token) => {
  const extraHeaders = { authorization: `Bearer ${token}` };
  return { extraHeaders, transportOptions: { polling: { extraHeaders }, websocket: { extraHeaders } } };
};

for (const [version, library, withToken] of [
  ['4.5', io45, () => ({})],
  ['3.1', io3, () => ({})],
  ['2.5', io2, inHeader],
]) {
  const connect = async (user, options = {}) => {
    const token = await server.token(user);
    return SocketIoClient.connect(server, user, token, { library, ...withToken(token), ...options });
  };

  describe(`socket.io-client ${version}`, () => {
    for (const transports of [['polling', 'websocket'], ['polling'], ['websocket']]) {
      it(`runs the flow over ${transports.join(' and ')}`, async () => {
        const old = await connect('alice', { transports });
        const bob = await SocketIoClient.connect(server, 'bob', await server.token('bob'));
        await runDiagram(old, bob);
        await runDiagram(bob, old);
        old.close();
        bob.close();
      });
    }
  });
}

it('a 2.x client with an invalid token receives the reason', async () => {
  const socket = io2(server.socketIo, { reconnection: false, forceNew: true, ...inHeader('let me in') });
  const error = await new Promise((resolve) => socket.once('error', resolve));
  socket.close();
  assert.match(error, /^unauthorized: .{8}/);
});
