// Tests unmodified clients of other languages, each in its own program that runs the call flow.
// tests/run installs and builds them: python/.venv, and the program of rust/ in
// SOCKETIO_RUST_CLIENT.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startServer } from './server.js';

let server;
before(async () => { server = await startServer({ name: 'languages' }); });
after(async () => { assert.equal(await server?.stop(), 0); });

const here = import.meta.dirname;
const target = process.env.CARGO_TARGET_DIR ?? path.join(here, '../../target');
const rust = process.env.SOCKETIO_RUST_CLIENT ?? path.join(target, 'rust-client/debug/callbox-socketio-client');
const python = [path.join(here, 'python/.venv/bin/python'), path.join(here, 'python/flow.py')];

/** Runs a program with the address and two tokens, and returns its output. */
async function run([program, ...args], ...transports) {
  const tokens = [await server.token('alice'), await server.token('bob')];
  const child = spawn(program, [...args, server.socketIo, ...tokens, ...transports], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said += chunk; });
  const [code] = await once(child, 'close');
  assert.equal(code, 0, said);
  return said;
}

describe('python-socketio', () => {
  for (const transports of [['polling', 'websocket'], ['polling'], ['websocket']]) {
    it(`runs the flow over ${transports.join(' and ')}`, async () => {
      assert.match(await run(python, ...transports), /^ok$/m);
    });
  }
});

describe('rust_socketio', () => {
  for (const transport of ['any', 'polling', 'websocket']) {
    it(`runs the flow over ${transport}`, async () => {
      assert.match(await run([rust], transport), /^ok$/m);
    });
  }
});
