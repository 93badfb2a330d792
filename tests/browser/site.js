// An application's own site, of another origin than the server's: a page with a video and a button, which
// imports the client from the server as anybody's page would.

import { createServer } from 'node:http';
import { newPage } from './browser.js';

const page = `<!doctype html>
<meta charset="utf-8">
<title>an application</title>
<link rel="icon" href="data:,">
<video id="video" autoplay playsinline muted></video>
<button id="button">Call</button>
<script type="module" src="app.js"></script>`;

/** Serves the page with `script`; `open(browser, query)` opens it. */
export async function startSite(script) {
  const files = { '/': ['text/html', page], '/app.js': ['text/javascript', script] };
  const site = createServer((request, response) => {
    const [type, body] = files[new URL(request.url, 'http://site').pathname] ?? [];
    if (!type) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body);
  });
  await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
  return {
    async open(browser, query) {
      const page = await newPage(browser);
      await page.goto(`http://127.0.0.1:${site.address().port}/?${new URLSearchParams(query)}`);
      return page;
    },
    close: () => site.close(),
  };
}
