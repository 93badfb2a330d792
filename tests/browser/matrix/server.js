// The server of the matrix, which has TLS and can be restarted.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startServer } from '../browser.js';

/** Host name of the relay, since Firefox reaches a relay over TLS by name only. */
export const RELAY = 'turn.callbox.test';

/** Creates a certificate for 127.0.0.1 and RELAY, issued by a CA of its own. */
export function certificate(directory) {
  const [cert, key, ca, caKey] = ['cert.pem', 'key.pem', 'ca.pem', 'ca-key.pem'].map((name) => path.join(directory, name));
  const openssl = (...more) => execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', ...more,
  ], { stdio: 'pipe' });
  openssl('-subj', '/CN=callbox test CA', '-keyout', caKey, '-out', ca);
  openssl(
    '-subj', '/CN=callbox test', '-CA', ca, '-CAkey', caKey, '-addext', 'basicConstraints=critical,CA:FALSE',
    '-addext', `subjectAltName=IP:127.0.0.1,DNS:${RELAY}`, '-keyout', key, '-out', cert,
  );
  return { cert, key, ca };
}

export async function startMatrixServer() {
  const directory = mkdtempSync(path.join(tmpdir(), 'callbox-matrix-'));
  const { cert, key, ca } = certificate(directory);
  const start = (http) => startServer({
    http,
    name: 'matrix',
    directory: path.join(import.meta.dirname, '..'),
    args: [
      '--tls-listen', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key, '--state-dir', path.join(directory, 'state'),
      // Fixed secrets, since generated ones change with each process.
      '--jwt-secret', 'a secret that is the same each time', '--auth-secret', 'and another one', '--api-key', 'and a third',
    ],
  });
  let now = await start();
  return {
    ca,
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
