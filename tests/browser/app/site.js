// Serves an application from another origin than the server's: a page with a video and a button.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { newPage } from '../browser.js';

const read = (...parts) => readFileSync(path.join(import.meta.dirname, ...parts), 'utf8');

/** Video constraints that cost little to encode. */
export const SMALL = { width: 320, height: 240, frameRate: 15 };

const page = `<!doctype html>
<meta charset="utf-8">
<title>an application</title>
<link rel="icon" href="data:,">
<video id="video" autoplay playsinline muted></video>
<button id="button">Call</button>
<script>const SMALL = ${JSON.stringify(SMALL)};</script>
<script type="module" src="app.js"></script>`;

/** Serves `files` by path; `open(browser, query)` opens the page in its own window. */
export async function startFiles(files) {
  const site = createServer((request, response) => {
    const [type, body] = files[new URL(request.url, 'http://site').pathname] ?? [];
    if (!type) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body);
  });
  await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
  return {
    async open(browser, query, prepare = () => {}) {
      const page = await newPage(browser);
      await prepare(page);
      await page.goto(`http://127.0.0.1:${site.address().port}/?${new URLSearchParams(query)}`);
      return page;
    },
    close: () => site.close(),
  };
}

/** Serves a page with `script`, and this tree's client as a module. */
export const startSite = (script = read('page.js')) => startFiles({
  '/': ['text/html', page],
  '/app.js': ['text/javascript', script],
  '/callbox.js': ['text/javascript', read('..', '..', '..', 'clients', 'js', 'callbox.js')],
});
