// One side of a call in a lab of `callbox natlab`: side `a` calls `b`.

import { chromium, expect } from '@playwright/test';
import { setTimeout as sleep } from 'node:timers/promises';
import config from '../playwright.config.js';
import { serveApp } from './app-server.js';
import { path, videoAdvances } from './page.js';

const { NATLAB_SIDE: side, NATLAB_URL: server, NATLAB_TOKEN: token } = process.env;
const isCaller = side === 'a';
const app = await serveApp();
const browser = await chromium.launch(config.use.launchOptions);
const page = await browser.newPage();
const state = page.locator('#state');
await page.goto(`${app.url}/?${new URLSearchParams({ server, token, to: isCaller ? 'b' : '' })}`);
await expect(state).toHaveText('online');
if (isCaller) {
  do {
    await page.click('#call');
    await expect(state).toHaveText(/connected|ended/, { timeout: 30_000 });
    // The other side may not be online yet.
    await sleep(1000);
  } while (await state.textContent() === 'ended');
} else {
  await expect(state).toHaveText('connected', { timeout: 60_000 });
}
await videoAdvances(page);
console.log((await path(page)).types.join(' to '));
await page.evaluate(() => window.call.send('video is here'));
await expect(page.locator('#message')).toHaveText('video is here', { timeout: 30_000 });
console.log('both have video');
if (isCaller) await page.click('#hang-up');
await expect(state).toHaveText('ended', { timeout: 30_000 });
await browser.close();
app.stop();
