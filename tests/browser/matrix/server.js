// The server of the matrix: one that has TLS, and that can be restarted.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startServer } from '../browser.js';

/** A certificate of nobody in particular, for 127.0.0.1. */
export function certificate(directory) {
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => path.join(directory, name));
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=callbox test', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert,
  ], { stdio: 'pipe' });
  return { cert, key };
}

export async function startMatrixServer() {
  const directory = mkdtempSync(path.join(tmpdir(), 'callbox-matrix-'));
  const { cert, key } = certificate(directory);
  const start = (http) => startServer({
    http,
    name: 'matrix',
    directory: path.join(import.meta.dirname, '..'),
    args: [
      '--tls-listen', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key, '--state-dir', path.join(directory, 'state'),
      // What is generated does not outlast a process.
      '--jwt-secret', 'a secret that is the same each time', '--auth-secret', 'and another one', '--api-key', 'and a third',
    ],
  });
  let now = await start();
  return {
    get http() { return now.http; },
    get socketIo() { return now.socketIo; },
    call: (id) => now.call(id),
    metric: (...of) => now.metric(...of),
    token: (user) => now.token(user),
    async restart() {
      const { http } = now;
      assert.equal(await now.stop(), 0);
      now = await start(new URL(http).host);
    },
    async end() {
      const code = await now.stop();
      rmSync(directory, { recursive: true });
      return code;
    },
  };
}
