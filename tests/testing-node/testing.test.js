// Tests @callbox/testing with the real binary, and with programs in its place that fail.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { findBinary, start } from '@callbox/testing';

const folder = mkdtempSync(path.join(tmpdir(), 'callbox-testing-'));
after(() => rmSync(folder, { recursive: true }));

const root = path.resolve(import.meta.dirname, '../..');
const binary = process.env.CALLBOX_BIN ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'debug/callbox');
process.env.CALLBOX_BIN = binary;

/** Writes an executable program and returns its path. */
function program(name, script) {
  const file = path.join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  return file;
}

/** Returns true while a process runs. One that has ended but was not waited for does not. */
function isRunning(pid) {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function waitForEnd(pid) {
  const deadline = Date.now() + 10_000;
  while (isRunning(pid)) {
    assert.ok(Date.now() < deadline, `process ${pid} lives on`);
    await new Promise((resolve) => { setImmediate(resolve); });
  }
}

/** Asserts that a TCP address is free. */
async function bind(url) {
  const { hostname, port } = new URL(url);
  const listener = createServer().listen(Number(port), hostname);
  await once(listener, 'listening');
  listener.close();
}

describe('a server', () => {
  it('gives its addresses, tokens and credentials', async () => {
    const server = await start();
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.match(server.websocket, /^ws:\/\/127\.0\.0\.1:\d+\/ws$/);
    assert.equal(server.socketIo, server.url);
    assert.match(server.stun[0], /^stun:127\.0\.0\.1:\d+$/);
    assert.match(server.turn[0], /^turn:127\.0\.0\.1:\d+\?transport=udp$/);
    assert.equal(server.forceRelay, false);

    const { username, password, ttl, uris } = await server.credentials('alice');
    assert.match(username, /^\d+:alice$/);
    assert.ok(password && ttl === 3600, 'an hour is the default');
    // A browser refuses the self-signed certificate of turns:.
    assert.deepEqual(uris, server.turn.filter((uri) => !uri.startsWith('turns:')));
    const [stun, turn] = await server.iceServers('alice');
    assert.deepEqual([stun.urls, turn.urls], [server.stun, uris]);
    assert.deepEqual(Object.keys(await server.iceConfig('alice')), ['iceServers']);
    const token = await server.token('bob', { grants: { relay: false } });
    const answer = await fetch(new URL('/api/v1/ice-servers', server.url), { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await answer.json()).turnCredentials, null);
    assert.deepEqual((await server.api('GET', '/api/v1/calls')).calls, []);
    assert.match(server.log, /callbox is up/);
    await server.stop();
    assert.match(server.log, /stopping: SIGTERM/);
  });

  it('takes the options of the binary', async () => {
    const server = await start({ forceRelay: true, options: { credentialTtl: '90s', '--realm': 'example', allowPeer: ['10.0.0.0/8', '10.1.0.0/16'] } });
    assert.equal(server.forceRelay, true);
    assert.equal((await server.iceConfig('alice')).iceTransportPolicy, 'relay');
    assert.equal((await server.credentials('alice')).ttl, 90);
    await server.stop();
  });

  it('is not configured by the environment', async () => {
    process.env.CALLBOX_HTTP = 'nonsense';
    try {
      await (await start()).stop();
    } finally {
      delete process.env.CALLBOX_HTTP;
    }
  });

  it('runs beside others, and frees its ports', async () => {
    const servers = await Promise.all(Array.from({ length: 5 }, () => start()));
    assert.equal(new Set(servers.map(({ url }) => url)).size, 5);
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    for (const { url, pid } of servers) {
      assert.equal(isRunning(pid), false);
      await bind(url);
    }
  });

  it('can be stopped twice', async () => {
    const server = await start();
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
  });

  it('injects faults', async () => {
    const server = await start({ allowFaults: true });
    const wanted = { seed: 42, packets: [{ lossPercent: 5 }], requests: [{ method: 'refresh', answer: 438, count: 2 }], actions: [{ action: 'expireCredentials' }] };
    const before = await server.credentials('alice');
    const report = await server.faults(wanted);
    assert.equal(report.seed, 42);
    assert.equal(report.packets[0].lossPercent, 5);
    assert.deepEqual(report.actions, [{ action: 'expireCredentials', affected: 0 }]);
    assert.notEqual((await server.credentials('alice')).username, before.username, 'fresh credentials are others');
    assert.equal((await server.faults()).requests[0].left, 2);
    const wrong = server.faults({ packets: [{ lossPercent: 101 }] });
    await assert.rejects(wrong, ({ message, status }) => status === 400 && message.includes('packets[0].lossPercent is 101'));
    assert.equal((await server.faults()).packets.length, 1, 'a wrong document changes nothing');
    assert.deepEqual((await server.faults(null)).packets, []);
    assert.equal((await server.faults()).injected.packetsLost, 0);
    await server.stop();
  });

  it('injects no faults unless they are allowed', async () => {
    const server = await start();
    await assert.rejects(server.faults({}), ({ code }) => code === 'faults_not_allowed');
    await server.stop();
  });

  it('is restarted with its addresses and secrets', async () => {
    const server = await start({ allowFaults: true, options: { stateDir: mkdtempSync(path.join(folder, 'state-')), tlsListen: '127.0.0.1:0' } });
    const { url, websocket, turn, stun, apiKey, pid } = server;
    const token = await server.token('alice');
    await server.faults({ packets: [{ lossPercent: 5 }] });
    await server.restart();
    assert.deepEqual([server.url, server.websocket, server.turn, server.stun, server.apiKey], [url, websocket, turn, stun, apiKey]);
    assert.equal(isRunning(pid), false);
    assert.notEqual(server.pid, pid);
    const answer = await fetch(new URL('/api/v1/ice-servers', url), { headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 200, 'a token of before is valid');
    assert.deepEqual((await server.faults()).packets, []);
    await server.restart();
    await server.stop();
    assert.equal(server.log.match(/callbox is up/g).length, 3);
    await bind(url);
  });

  it('is stopped if its address is taken before it is up again', async () => {
    const server = await start();
    // The state of a server that is gone, while another program has its port.
    await server.stop();
    const listener = createServer().listen(Number(new URL(server.url).port), '127.0.0.1');
    await once(listener, 'listening');
    await assert.rejects(server.restart(), /before it was ready[^]*--http/);
    listener.close();
    await server.stop();
  });

  it('reports refused requests', async () => {
    const server = await start();
    await assert.rejects(server.token('').then(() => server.credentials('')), ({ status }) => status === 401);
    await assert.rejects(server.api('GET', '/api/v1/calls/none'), ({ message, code }) => message.includes('/api/v1/calls/none') && Boolean(code));
    await server.stop();
  });
});

describe('the end of the test process', () => {
  /** Starts a process that starts a server, and waits until that is up. */
  async function parent(then) {
    const script = `import { start } from '@callbox/testing'; const { pid } = await start(); console.log(pid); ${then}`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(child.stdout, 'data');
    const pid = Number(line);
    assert.ok(pid > 0);
    return { child, pid };
  }

  it('ends the server when the process is killed', async () => {
    const { child, pid } = await parent('setInterval(() => {}, 1000);');
    assert.ok(isRunning(pid));
    child.kill('SIGKILL');
    await waitForEnd(pid);
  });

  it('is not kept up by a server that was not stopped, and ends it', async () => {
    const { child, pid } = await parent('');
    const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode];
    assert.equal(code, 0);
    await waitForEnd(pid);
  });
});

describe('a server that does not start', () => {
  const fails = async (options, ...patterns) => {
    const error = await start(options).then(() => assert.fail('it starts'), (reason) => reason);
    for (const pattern of patterns) assert.match(error.message, pattern);
  };

  it('is reported with its log', async () => {
    await fails({ options: { maxLifetim: '60s' } }, /status 2 before it was ready/, /'--max-lifetim'/);
    await fails({ options: { http: '192.0.2.1:1' } }, /status 2 before it was ready/, /192\.0\.2\.1:1 is no loopback address/);
    await fails({ binary: program('crash', 'echo "no luck" >&2; exit 3') }, /status 3 before it was ready/, /no luck/);
    await fails({ binary: program('killed', 'kill -9 $$') }, /SIGKILL before it was ready/);
  });

  it('is given up after the deadline, and ended', async () => {
    const file = program('hang', `echo $$ >${folder}/hang.pid; echo "loading" >&2; exec sleep 60`);
    await fails({ binary: file, startTimeoutMs: 1500 }, /not ready after 1500 ms/, /loading/);
    assert.equal(isRunning(Number(readFileSync(path.join(folder, 'hang.pid'), 'utf8'))), false);
  });

  it('is not taken for another program', async () => {
    await fails({ binary: program('other', 'echo "hello"; exec sleep 60') }, /printed "hello" in place of its ready line/);
  });

  it('has no option that this package sets', async () => {
    await fails({ options: { readyJson: true } }, /the option ready-json is set by @callbox\/testing/);
  });
});

describe('the binary', () => {
  const where = (env, cwd = folder) => ({ env, cwd });

  it('is the one that is named', () => {
    const file = program('named', '');
    assert.equal(findBinary('named', where({ CALLBOX_BIN: '/nowhere' })), file);
    assert.equal(findBinary(undefined, where({ CALLBOX_BIN: file, PATH: '' })), file);
  });

  it('is in PATH or in a build folder above', () => {
    const deep = path.join(folder, 'app/src');
    const built = path.join(folder, 'target/debug');
    for (const each of [deep, built]) mkdirSync(each, { recursive: true });
    const file = program('target/debug/callbox', '');
    assert.equal(findBinary(undefined, where({ PATH: '/nowhere' }, deep)), file);
    mkdirSync(path.join(folder, 'bin'));
    const installed = program('bin/callbox', '');
    assert.equal(findBinary(undefined, where({ PATH: path.join(folder, 'bin') }, deep)), installed);
  });

  it('is asked for if there is none', () => {
    const empty = mkdtempSync(path.join(tmpdir(), 'callbox-none-'));
    assert.throws(() => findBinary(undefined, where({ PATH: '' }, empty)), /no binary in PATH .*cargo install callbox/);
    assert.throws(() => findBinary('gone', where({}, empty)), /gone, which the option `binary` names, does not exist/);
    writeFileSync(path.join(empty, 'text'), '');
    assert.throws(() => findBinary(undefined, where({ CALLBOX_BIN: 'text' }, empty)), /text, which CALLBOX_BIN names, cannot be executed/);
    rmSync(empty, { recursive: true });
  });
});
