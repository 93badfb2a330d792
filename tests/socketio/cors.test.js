// Tests a page of another origin in a browser: an unmodified socket.io-client with credentials and
// own headers, and the API with DELETE. Only a browser sends preflight requests and hides answers.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startServer } from './server.js';

const WITHIN_MS = 30_000;
const CLIENT = fileURLToPath(new URL('node_modules/socket.io-client/dist/socket.io.min.js', import.meta.url));

/** Returns the page, which posts its results to its own site. */
const page = (server, token) => `<!doctype html><script src="/socket.io.js"></script><script type="module">
const told = {};
try {
  const options = { auth: { token: ${JSON.stringify(token)} }, withCredentials: true, extraHeaders: { 'x-tenant': 'a' }, transports: ['polling'] };
  const socket = io(${JSON.stringify(server.http)}, options);
  told.user = await new Promise((resolve, reject) => {
    socket.once('session:welcome', ({ userId }) => resolve(userId));
    socket.once('connect_error', reject);
  });
  socket.disconnect();
  const headers = { authorization: ${JSON.stringify(`Bearer ${server.dev.apiKey}`)}, 'x-request-id': '1' };
  const response = await fetch(${JSON.stringify(`${server.http}/api/v1/sessions?userId=nobody`)}, { method: 'DELETE', credentials: 'include', headers });
  told.kicked = await response.json();
} catch (error) {
  told.error = String(error);
}
await fetch('/told', { method: 'POST', body: JSON.stringify(told) });
</script>`;

let server, site, told;
before(async () => {
  site = http.createServer(async (request, response) => {
    if (request.url === '/socket.io.js') return response.end(readFileSync(CLIENT));
    if (request.url !== '/told') {
      response.setHeader('content-type', 'text/html');
      return response.end(page(server, await server.token('alice')));
    }
    let body = '';
    for await (const chunk of request) body += chunk;
    response.end();
    told.resolve(JSON.parse(body));
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  // A host name, so that the site differs from the server's too.
  server = await startServer({ name: 'cors', args: ['--allow-origin', `http://LOCALHOST:${site.address().port}/`] });
});
after(async () => {
  site?.closeAllConnections();
  site?.close();
  await server?.stop();
});

it('a browser lets a page of an allowed origin send requests and read the answers', async () => {
  let resolve;
  const result = new Promise((done) => { resolve = done; });
  told = { resolve };
  const profile = mkdtempSync(path.join(os.tmpdir(), 'callbox-cors-'));
  const browser = spawn(
    'chromium',
    ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`,
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1', `http://localhost:${site.address().port}/`],
    { stdio: 'ignore', detached: true },
  );
  const timer = setTimeout(() => resolve({ error: `nothing within ${WITHIN_MS} ms` }), WITHIN_MS);
  try {
    assert.deepEqual(await result, { user: 'alice', kicked: { sessions: 0, calls: 0, rooms: 0, allocations: 0 } });
  } finally {
    clearTimeout(timer);
    const exited = once(browser, 'exit');
    // The browser's child processes are in its process group.
    process.kill(-browser.pid, 'SIGKILL');
    await exited;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
