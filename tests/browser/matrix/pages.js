// Scenarios with the demo page, and with the code of the README.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { click, assertNoErrors, PATIENCE_MS, text, until } from '../browser.js';
import { connect, signIn, summary } from '../demo.js';
import { stats, videoAdvances } from '../media.js';
import { startSite } from '../app/site.js';

const readme = readFileSync(path.join(import.meta.dirname, '../../../README.md'), 'utf8');
const [, lines] = /^## Use it in your app\n[^#]*?```js\n(.*?)```/ms.exec(readme);

export const pages = {
  'a call on the demo page': async ({ browser, server }) => {
    const alice = await signIn(browser('alice'), server(), 'alice');
    const bob = await signIn(browser('bob'), server(), 'bob');
    await connect(alice, bob);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      assert.notEqual((await stats(page)).local, 'relay');
      // The page shows the path that the browser reports.
      await page.waitForSelector('#view-call[data-path="direct"][data-picture="on"]');
      assert.equal(await text(page, '#path'), 'direct');
      await until('a round-trip time is shown', async () => / ms$/.test(await text(page, '#rtt')), PATIENCE_MS);
    }
    await click(alice, '#hang-up');
    assert.deepEqual(await summary(bob), { reason: 'hangup', title: 'alice ended the call' });
    assertNoErrors(alice, bob);
  },
  // Unmodified except for the address and the token.
  'the lines of the README': async ({ browser, server }) => {
    assert.ok(lines.trim().split('\n').filter(Boolean).length <= 10, 'ten lines');
    const token = "new URLSearchParams(location.search).get('token')";
    const script = lines.replaceAll('https://callbox.example', new URL(server().http).origin).replace('{ token }', () => `{ token: ${token} }`);
    const site = await startSite(`${script}\ndocument.body.dataset.ready = '';`);
    try {
      const pages = [];
      for (const user of ['alice', 'bob']) {
        const page = await site.open(browser(user), { token: await server().token(user) });
        page.user = user;
        await page.waitForSelector('body[data-ready]');
        pages.push(page);
      }
      await click(pages[0], '#button');
      for (const page of pages) {
        await until(`${page.user} has a peer connection`, () => page.evaluate(() => window.peerConnections.length > 0), PATIENCE_MS);
        await videoAdvances(page);
        await until(`${page.user} shows the other side`, () => page.evaluate(() => document.querySelector('video').videoWidth > 0), PATIENCE_MS);
      }
      assertNoErrors(...pages);
    } finally {
      site.close();
    }
  },
};
