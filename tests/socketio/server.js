// Starts the real binary for a test, and ends it by its process id.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Path of the binary: CALLBOX_BIN, else the debug build of this tree. */
export const binary = path.resolve(
  process.env.CALLBOX_BIN ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'debug/callbox'),
);

/**
 * Starts `callbox serve --dev` on free ports, or at the address `http`, and waits until it is
 * ready.
 *
 * Returns the output of `--ready-json` (`http`, `websocket`, `socketIo`, `stun`, `turn`, `dev`),
 * `log()` with the log so far, `stop()`, and a few requests. The log is also written to
 * `out/NAME.log` in `directory`.
 */
export async function startServer({ http = '127.0.0.1:0', args = [], name = 'callbox', directory = import.meta.dirname } = {}) {
  const child = spawn(
    binary,
    // The tests call between the same users again and again.
    ['serve', '--dev', '--ready-json', '--http', http, '--listen', '127.0.0.1:0', '--calls-per-pair', '0', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const out = path.join(directory, 'out');
  mkdirSync(out, { recursive: true });
  const file = createWriteStream(path.join(out, `${name}.log`));
  let log = '';
  child.stderr.on('data', (chunk) => {
    log += chunk;
    file.write(chunk);
  });
  const exited = once(child, 'exit').catch(() => {});

  const ready = await new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`not ready after 10 s; it logged:\n${log}`)), 10_000);
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const line = text.split('\n').find((each) => each.startsWith('{'));
      if (!line || !text.includes('\n')) return;
      clearTimeout(timer);
      resolve(JSON.parse(line));
    });
    child.on('error', (error) => reject(new Error(`${binary} does not start: ${error.message}`)));
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`${binary} ended before it was ready (${code ?? signal}); it logged:\n${log}`));
    });
  });

  return {
    ...ready,
    log: () => log,
    pid: child.pid,

    /** Sends SIGTERM, and SIGKILL after 10 seconds. Returns the exit code. */
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
        await exited;
        clearTimeout(timer);
      }
      file.end();
      return child.exitCode;
    },

    /** Returns a token from the endpoint that the demo page uses. */
    async token(userId) {
      const response = await fetch(new URL('/dev/token', ready.http), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ userId }),
      });
      if (!response.ok) throw new Error(`POST /dev/token: ${response.status} ${await response.text()}`);
      return (await response.json()).token;
    },

    /** Returns a token as an application's back end makes it: HS256, with these claims. */
    mint(claims, secret = ready.dev.jwtSecret) {
      const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
      return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
    },

    /** Returns a call's record from the REST API. */
    async call(id) {
      const response = await fetch(new URL(`/api/v1/calls/${id}`, ready.http), {
        headers: { authorization: `Bearer ${ready.dev.apiKey}` },
      });
      if (!response.ok) throw new Error(`GET /api/v1/calls/${id}: ${response.status} ${await response.text()}`);
      return response.json();
    },

    /**
     * Returns the sum of a metric's samples; `labels` such as `reason="hangup"` select among them.
     */
    async metric(metric, labels = '') {
      const text = await (await fetch(new URL('/metrics', ready.http))).text();
      const samples = text.split('\n').filter(
        (line) => (line.startsWith(`${metric} `) || line.startsWith(`${metric}{`)) && line.includes(labels),
      );
      if (!samples.length) throw new Error(`no sample of ${metric} in /metrics`);
      return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
    },
  };
}

/** Waits until `condition` returns a truthy value, and returns that; polls every 50 ms. */
export async function until(what, condition, withinMs = 10_000) {
  const deadline = Date.now() + withinMs;
  let last;
  do {
    try {
      last = await condition();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  } while (Date.now() < deadline);
  throw new Error(`not in ${withinMs} ms: ${what}; last seen: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
}
