// Serves the application's files.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const app = path.resolve(import.meta.dirname, '../app');
const FILES = {
  '/': ['text/html', path.join(app, 'index.html')],
  '/app.js': ['text/javascript', path.join(app, 'app.js')],
  '/callbox.js': ['text/javascript', fileURLToPath(import.meta.resolve('@callbox/client'))],
};

/** Starts a server on a free port. Returns its `url` and `stop()`. */
export async function serveApp() {
  const server = createServer(async (request, response) => {
    const [type, file] = FILES[new URL(request.url, 'http://localhost').pathname] ?? [];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': type }).end(await readFile(file));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => { server.closeAllConnections(); server.close(); } };
}
