// Changes to the network between pages and server.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

function inOwnNetwork(program, words) {
  assert.equal(process.env.NETWORK_OF_ITS_OWN, 'yes', 'this changes the network: run it with ./in-own-network');
  return execFileSync(program, words.split(' '), { env, encoding: 'utf8' });
}

export const nft = (words) => inOwnNetwork('nft', words);

/** Drops all UDP packets; returns a function that removes the rule. */
export function dropUdp() {
  nft('add table inet no_udp');
  nft('add chain inet no_udp output { type filter hook output priority 0; }');
  nft('add rule inet no_udp output meta l4proto udp drop');
  return () => nft('delete table inet no_udp');
}

/**
 * Drops UDP packets except to and from a relay's port, as a pair of NATs does that let no direct path
 * be; returns a function that removes the rule.
 */
export function allowOnlyRelay(port) {
  nft('add table inet no_direct');
  nft('add chain inet no_direct output { type filter hook output priority 0; }');
  // One rule with two `!=` would be compared as one number.
  for (const side of ['sport', 'dport']) nft(`add rule inet no_direct output udp ${side} ${port} accept`);
  nft('add rule inet no_direct output meta l4proto udp drop');
  return () => nft('delete table inet no_direct');
}

/** Replaces the interface's address, as when a machine changes networks. Returns the new one. */
export function changeAddress() {
  const [, now] = /inet (\S+) /.exec(inOwnNetwork('ip', '-4 address show dev call0'));
  const next = now.startsWith('10.77.0.1/') ? '10.77.0.3/24' : '10.77.0.1/24';
  inOwnNetwork('ip', 'address flush dev call0');
  inOwnNetwork('ip', `address add ${next} dev call0`);
  inOwnNetwork('ip', 'route replace default via 10.77.0.2 dev call0');
  return next.split('/')[0];
}

/** Starts a TCP proxy to the server whose connections can be cut. */
export async function startProxy(to) {
  const open = new Set();
  let cut = false;
  const proxy = net.createServer((near) => {
    if (cut) return near.destroy();
    const far = net.connect(Number(to.port), to.hostname);
    for (const [from, other] of [[near, far], [far, near]]) {
      open.add(from);
      from.on('error', () => {}).on('close', () => { open.delete(from); other.destroy(); });
      from.pipe(other);
    }
  });
  await new Promise((listening) => proxy.listen(0, '127.0.0.1', listening));
  return {
    http: `http://127.0.0.1:${proxy.address().port}`,
    cut() { cut = true; for (const socket of open) socket.destroy(); },
    restore() { cut = false; },
    close() { proxy.close(); this.cut(); },
  };
}

/** Makes the page reconnect with a new session, as if the resume window had passed. */
export function forceNewSession(page) {
  return page.evaluate(() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function sendWithoutResume(text) {
      const frame = JSON.parse(text);
      delete frame.data?.resume;
      send.call(this, JSON.stringify(frame));
    };
  });
}
