// The README's "Use it in your app", to the letter but for the address and the token, in two pages.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { click, launch, noComplaints, PATIENCE_MS, startServer, until } from './browser.js';
import { videoAdvances } from './media.js';
import { startSite } from './app/site.js';

const readme = readFileSync(path.join(import.meta.dirname, '../../README.md'), 'utf8');
const [, lines] = /^## Use it in your app\n[^#]*?```js\n(.*?)```/ms.exec(readme);

let server;
let browser;
let site;
before(async () => {
  server = await startServer({ name: 'readme', directory: import.meta.dirname });
  browser = await launch();
  const token = "new URLSearchParams(location.search).get('token')";
  const script = lines
    .replaceAll('https://callbox.example', new URL(server.http).origin)
    .replace('{ token }', () => `{ token: ${token} }`);
  site = await startSite(`${script}\ndocument.body.dataset.ready = '';`);
});
after(async () => {
  await browser?.close();
  site?.close();
  await server?.stop();
});

it('the lines of the README are a call', async () => {
  assert.ok(lines.trim().split('\n').filter(Boolean).length <= 10, 'ten lines');
  const pages = [];
  for (const user of ['alice', 'bob']) {
    const page = await site.open(browser, { token: await server.token(user) });
    page.user = user;
    await page.waitForSelector('body[data-ready]');
    pages.push(page);
  }
  await click(pages[0], '#button');
  for (const page of pages) {
    await until(`${page.user} has a peer connection`, () => page.evaluate(() => window.peerConnections.length), PATIENCE_MS);
    await videoAdvances(page);
    await until(`${page.user} sees the other`, () => page.evaluate(() => document.querySelector('video').videoWidth > 0));
  }
  noComplaints(...pages);
});
