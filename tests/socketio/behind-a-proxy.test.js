// Tests @callbox/client and an unmodified socket.io-client behind nginx under a path, with the
// settings and the code of docs/behind-a-proxy.md.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { io } from 'socket.io-client';
import { WebSocket } from 'ws';
import { startServer, until } from './server.js';

const PAGE = readFileSync(new URL('../../docs/behind-a-proxy.md', import.meta.url), 'utf8');

/** Replaces parts of the document's text, which must be present, by values of this test. */
function adapted(text, changes) {
  for (const [from, to] of Object.entries(changes)) {
    assert.ok(text.includes(from), `no ${from} in\n${text}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

async function freePort() {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}

const listens = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1');
  socket.once('connect', () => { socket.destroy(); resolve(true); });
  socket.once('error', () => resolve(false));
});

/** Starts nginx as one process that runs until `stop()`. */
async function startNginx(server) {
  const [, sample] = PAGE.match(/<!-- sample: nginx-path -->\n```nginx\n([^]*?)```/);
  const port = await freePort();
  const directory = mkdtempSync(path.join(os.tmpdir(), 'callbox-nginx-'));
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`);
  const text = adapted(sample, {
    'listen 443 ssl;': `listen 127.0.0.1:${port};`,
    '127.0.0.1:8080': new URL(server.http).host,
    'ssl_certificate     /etc/ssl/www/fullchain.pem;': '',
    'ssl_certificate_key /etc/ssl/www/privkey.pem;': '',
  });
  writeFileSync(
    path.join(directory, 'nginx.conf'),
    `daemon off;\nmaster_process off;\npid ${directory}/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${paths.join('\n')}\n${text}}\n`,
  );
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'nginx', '-p', directory, '-e', 'stderr', '-c', `${directory}/nginx.conf`], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  await until('nginx listens', async () => child.exitCode !== null || listens(port));
  assert.equal(child.exitCode, null, 'nginx has ended');
  return {
    base: `http://127.0.0.1:${port}`,
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

let server, nginx;
before(async () => {
  server = await startServer({ name: 'behind-a-proxy', args: ['--trusted-proxy', '127.0.0.1'] });
  nginx = await startNginx(server);
});
after(async () => {
  await nginx?.stop();
  await server?.stop();
});

const token = (sub) => server.mint({ sub, exp: Math.floor(Date.now() / 1000) + 60 });

/** The document's code for applications. */
const [, LINES] = PAGE.match(/```js\n([^]*?)```/);

describe('under a path of nginx', () => {
  it('@callbox/client connects with the address and the path', async () => {
    globalThis.WebSocket = WebSocket;
    const [line] = LINES.match(/^const box = .*$/m);
    const { connect } = await import('../../clients/js/callbox.js');
    const call = adapted(line, { 'https://www.example.com': nginx.base, 'const box = await ': 'return ' });
    const box = await new Function('connect', 'token', call)(connect, token('alice'));
    assert.equal(box.userId, 'alice');
    box.close();
  });

  it('the module is served under the path', async () => {
    const [, address] = LINES.match(/^import .* from '(.*)';$/m);
    const response = await fetch(adapted(address, { 'https://www.example.com': nginx.base }));
    assert.equal(response.headers.get('content-type'), 'text/javascript; charset=utf-8');
    assert.match(await response.text(), /export async function connect/);
  });

  it('socket.io-client connects with the path and upgrades to a WebSocket', async () => {
    const [line] = LINES.match(/^const socket = .*$/m);
    const call = adapted(line, { 'https://www.example.com': nginx.base, 'const socket = ': 'return ' });
    const socket = new Function('io', 'token', call)(io, token('bob'));
    try {
      const welcome = await new Promise((resolve, reject) => {
        socket.once('session:welcome', resolve);
        socket.once('connect_error', reject);
      });
      assert.equal(welcome.userId, 'bob');
      await until('the transport is upgraded', () => socket.io.engine.transport.name === 'websocket');
      assert.equal((await socket.timeout(5000).emitWithAck('ice:refresh', {})).ok, true);
    } finally {
      socket.disconnect();
    }
  });
});
