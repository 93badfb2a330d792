// Starts a callbox server for a test, on free ports of loopback, and stops it. The types are in
// testing.d.ts.
//
//   import { start } from '@callbox/testing';
//
//   const server = await start({ forceRelay: true });
//   const token = await server.token('alice');
//   …
//   await server.stop();

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import path from 'node:path';

const START_TIMEOUT_MS = 20_000;
/** The time after SIGTERM at which the process is killed. */
const STOP_TIMEOUT_MS = 10_000;
/** The part of the log that an error shows. */
const LOG_TAIL = 4_000;
/** The part of the log that is kept. */
const LOG_KEPT = 1_000_000;

/** Options of the server that this package sets itself. */
const OWN_OPTIONS = new Set(['dev', 'ready-json', 'exit-with-parent']);

/** Options of the server that have a default here. */
const DEFAULTS = { http: '127.0.0.1:0', listen: '127.0.0.1:0', workers: 1 };

// ---- The binary --------------------------------------------------------------------------------

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Returns the folders from `start` up to the root. */
function* upwards(start) {
  for (let folder = path.resolve(start); ; folder = path.dirname(folder)) {
    yield folder;
    if (folder === path.dirname(folder)) return;
  }
}

const EXE = process.platform === 'win32' ? '.exe' : '';

/**
 * Returns the path of the server's binary: `binary`, CALLBOX_BIN, `callbox` in PATH, or
 * `target/{release,debug}/callbox` in this folder or one above it.
 */
export function findBinary(binary, { env = process.env, cwd = process.cwd() } = {}) {
  const [given, source] = binary ? [binary, 'the option `binary`'] : [env.CALLBOX_BIN, 'CALLBOX_BIN'];
  if (given) {
    const file = path.resolve(cwd, given);
    if (isExecutable(file)) return file;
    const fault = existsSync(file) ? 'cannot be executed' : 'does not exist';
    throw new Error(`callbox: ${file}, which ${source} names, ${fault}.`);
  }
  const inPath = (env.PATH ?? '').split(path.delimiter).filter(Boolean).map((folder) => path.join(folder, `callbox${EXE}`));
  const built = [...upwards(cwd)].flatMap((folder) => ['release', 'debug'].map((profile) => path.join(folder, 'target', profile, `callbox${EXE}`)));
  const found = [...inPath, ...built].find(isExecutable);
  if (found) return found;
  throw new Error(`callbox: there is no binary in PATH and none in target/ above ${cwd}; install it with \`cargo install callbox\`, or name it by the option \`binary\` or by CALLBOX_BIN.`);
}

// ---- Options -----------------------------------------------------------------------------------

const withDashes = (name) => name.replace(/^-+/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Returns options by their names with dashes: `maxLifetime` and `max-lifetime` are the same one. */
function named(options) {
  const set = Object.fromEntries(Object.entries(options).map(([name, value]) => [withDashes(name), value]));
  const own = Object.keys(set).find((name) => OWN_OPTIONS.has(name));
  if (own) throw new Error(`callbox: the option ${own} is set by @callbox/testing.`);
  return { ...DEFAULTS, ...set };
}

/** Returns the flags for named options. */
function flags(options) {
  return Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === null) return [];
    return [value].flat().map((each) => `--${name}=${each}`);
  });
}

/** Returns the options with which a server has the addresses and secrets that it had before. */
function kept(options, { listening, dev }) {
  const secrets = { 'auth-secret': dev.authSecret, 'jwt-secret': dev.jwtSecret, 'api-key': dev.apiKey };
  const generated = Object.entries(secrets).filter(([name]) => !options[name] && !options[`${name}-file`]);
  const addresses = { http: listening.http, listen: listening.listen, 'tls-listen': listening.tlsListen };
  return { ...options, ...Object.fromEntries(generated), ...addresses };
}

/** Returns the environment without settings of a server, which are for another one. */
function environment(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('CALLBOX_')));
}

// ---- The server --------------------------------------------------------------------------------

/** The end of a log, indented, for an error. */
const excerpt = (log) => (log.trim() ? `; it logged:\n${log.trim().slice(-LOG_TAIL).replace(/^/gm, '  ')}` : ', and logged nothing.');

/** Waits for the first line of stdout, which is JSON. */
function readyLine(child, binary, log, timeoutMs) {
  return new Promise((resolve, reject) => {
    let text = '';
    const finish = (settle, value) => {
      clearTimeout(timer);
      child.stdout.off('data', onData);
      child.off('error', onError);
      child.off('close', onClose);
      settle(value);
    };
    const fail = (what) => finish(reject, new Error(`callbox: ${binary} ${what}${excerpt(log())}`));
    const onData = (chunk) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      try {
        const ready = JSON.parse(text.slice(0, end));
        if (ready?.event === 'ready') return void finish(resolve, ready);
      } catch {
        // Not the ready line.
      }
      fail(`printed ${JSON.stringify(text.slice(0, Math.min(end, 200)))} in place of its ready line`);
    };
    const onError = (error) => fail(`does not start (${error.message})`);
    // Both pipes are read to their ends by then.
    const onClose = (code, signal) => fail(`ended with ${signal ?? `status ${code}`} before it was ready`);
    const timer = setTimeout(() => fail(`is not ready after ${timeoutMs} ms`), timeoutMs);
    child.stdout.on('data', onData);
    child.once('error', onError);
    child.once('close', onClose);
  });
}

/** The log of a server, across its restarts. */
class Log {
  text = '';
  #onLog;

  constructor(onLog) {
    this.#onLog = onLog;
  }

  add(chunk) {
    this.text = (this.text + chunk).slice(-LOG_KEPT);
    this.#onLog?.(chunk);
  }
}

/** Starts the binary with these options, and waits until it is ready. */
async function launch(file, options, log, startTimeoutMs) {
  const args = [
    'serve', '--dev', '--ready-json',
    // With its id, the end of this process is noticed even before the server has looked.
    ...(process.platform === 'win32' ? [] : [`--exit-with-parent=${process.pid}`]),
    ...flags(options),
  ];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment(process.env) });
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (chunk) => log.add(chunk));
  child.stdout.setEncoding('utf8');
  const ended = once(child, 'exit').catch(() => [null, null]);
  try {
    const ready = await readyLine(child, file, () => log.text, startTimeoutMs);
    // The rest of its output must not fill the pipe.
    child.stdout.resume();
    // A test that forgets to stop the server can still end, and the server with it.
    child.unref();
    child.stdout.unref?.();
    child.stderr.unref?.();
    return { child, ready, ended };
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    throw error;
  }
}

class Server {
  #child;
  #ready;
  #ended;
  #log;
  #options;
  #launch;
  #stopping = null;

  /** `launch` starts a process with options by name. */
  constructor(started, log, options, launch) {
    this.#log = log;
    this.#options = options;
    this.#launch = launch;
    this.#run(started);
  }

  #run({ child, ready, ended }) {
    this.#child = child;
    this.#ready = ready;
    this.#ended = ended;
    this.#stopping = null;
  }

  get url() { return this.#ready.http; }
  get websocket() { return this.#ready.websocket; }
  get socketIo() { return this.#ready.socketIo; }
  get stun() { return [...this.#ready.stun]; }
  get turn() { return [...this.#ready.turn]; }
  get apiKey() { return this.#ready.dev.apiKey; }
  get forceRelay() { return Boolean(this.#ready.forceRelay); }
  get pid() { return this.#child.pid; }
  get log() { return this.#log.text; }

  async token(user, { name, ttl = 3600, grants } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: user, name, iat: now, exp: now + ttl, callbox: grants };
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
    return `${text}.${createHmac('sha256', this.#ready.dev.jwtSecret).update(text).digest('base64url')}`;
  }

  async iceConfig(user) {
    const { iceServers, iceTransportPolicy } = await this.#ice(user);
    return { iceServers, ...(iceTransportPolicy && { iceTransportPolicy }) };
  }

  async iceServers(user) {
    return (await this.#ice(user)).iceServers;
  }

  async credentials(user) {
    return (await this.#ice(user)).turnCredentials;
  }

  async #ice(user) {
    return this.#request('GET', '/api/v1/ice-servers', await this.token(user));
  }

  async faults(wanted) {
    if (wanted === undefined) return this.api('GET', '/api/v1/faults');
    if (wanted === null) return this.api('DELETE', '/api/v1/faults');
    return this.api('PUT', '/api/v1/faults', wanted);
  }

  async api(method, resource, body) {
    return this.#request(method, resource, this.apiKey, body);
  }

  async #request(method, resource, bearer, body) {
    const headers = { authorization: `Bearer ${bearer}`, ...(body !== undefined && { 'content-type': 'application/json' }) };
    const response = await fetch(new URL(resource, this.url), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    const answer = text ? JSON.parse(text) : null;
    if (response.ok) return answer;
    const { code = 'unknown', message = text } = answer?.error ?? {};
    throw Object.assign(new Error(`callbox: ${method} ${resource}: ${response.status} ${code}: ${message}`), { code, status: response.status });
  }

  async restart() {
    await this.stop();
    this.#run(await this.#launch(kept(this.#options, this.#ready)));
  }

  async stop() {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop() {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const [code, signal] = await this.#ended;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`callbox: the server ended with ${signal ?? `status ${code}`}${excerpt(this.log)}`);
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}

/** Starts a server. See testing.d.ts. */
export async function start({ binary, forceRelay = false, allowFaults = false, options = {}, startTimeoutMs = START_TIMEOUT_MS, onLog } = {}) {
  const file = findBinary(binary);
  const log = new Log(onLog);
  const modes = { ...(forceRelay && { 'force-relay': true }), ...(allowFaults && { 'allow-faults': true }) };
  const set = { ...modes, ...named(options) };
  const run = (wanted) => launch(file, wanted, log, startTimeoutMs);
  return new Server(await run(set), log, set, run);
}

export { Server };
