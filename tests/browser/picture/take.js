// Takes docs/images/call.png again: a relayed call on the demo page, with two drawn people as the
// camera pictures. Not a test. Run in tests/browser, with a built binary:
//
//   ./in-own-network node picture/take.js

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { launch, closePage, newPage, startServer, text, until } from '../browser.js';
import { connect, signIn } from '../demo.js';
import { videoAdvances } from '../media.js';

const people = {
  alice: { '--wall-1': '#8fa9a4', '--wall-2': '#51716d', '--cloth-1': '#d9a441', '--cloth-2': '#b07c22', '--desk': '#6a4a33', '--skin': '#c98f6b', '--skin-2': '#b67c58', '--skin-3': '#a36a48', '--hair': '#2b1d18', '--long': '1', '--ears': '0', '--glasses': '0' },
  bob: { '--wall-1': '#d8cbb8', '--wall-2': '#a08c78', '--cloth-1': '#33526b', '--cloth-2': '#1f3850', '--desk': '#7a5a40', '--skin': '#efc3a0', '--skin-2': '#dfab86', '--skin-3': '#cf9570', '--hair': '#6b4326', '--long': '0', '--ears': '1', '--glasses': '1' },
};
const FRAMES = 40;
const work = mkdtempSync(path.join(tmpdir(), 'callbox-picture-'));

/** Renders a person into an MJPEG file that Chromium uses as its camera. */
async function film(browser, name) {
  const page = await newPage(browser, { viewport: { width: 1280, height: 720 } });
  await page.setContent(readFileSync(path.join(import.meta.dirname, 'person.html'), 'utf8'));
  const frames = [];
  for (let frame = 0; frame < FRAMES; frame++) {
    await page.evaluate(({ turn, look, blink }) => {
      const element = (id) => document.getElementById(id);
      for (const [key, value] of Object.entries(look)) document.documentElement.style.setProperty(key, value);
      element('head').setAttribute('transform', `rotate(${(2 * Math.sin(turn)).toFixed(2)} 640 480)`);
      element('body').setAttribute('transform', `translate(0 ${(4 * Math.sin(turn)).toFixed(2)})`);
      element('eyes').setAttribute('opacity', blink ? 0 : 1);
    }, { turn: (frame / FRAMES) * 2 * Math.PI, look: people[name], blink: frame === 30 });
    frames.push(await page.screenshot({ type: 'jpeg', quality: 92 }));
  }
  await closePage(page);
  const file = path.join(work, `${name}.mjpeg`);
  writeFileSync(file, Buffer.concat(frames));
  return file;
}

const camera = await launch();
const files = { alice: await film(camera, 'alice'), bob: await film(camera, 'bob') };
await camera.close();

const server = await startServer({ name: 'picture', directory: import.meta.dirname + '/..' });
const browsers = await Promise.all(Object.values(files).map((file) => launch('chromium', { args: [`--use-file-for-fake-video-capture=${file}`] })));
const [one, other] = browsers;
const look = { viewport: { width: 1280, height: 800 }, relayOnly: true };
const alice = await signIn(one, server, 'alice', look);
const bob = await signIn(other, server, 'bob', look);
await connect(alice, bob);
await videoAdvances(alice);
// Wait for the full resolution, and for enough readings to draw the round-trip times.
await until('the video has its full resolution', () => alice.evaluate(() => document.getElementById('remote-video').videoWidth >= 960), 60_000).catch(() => {});
await until('twenty seconds have passed', async () => (await text(alice, '#timer')) >= '0:20', 60_000);
await alice.screenshot({ path: path.join(import.meta.dirname, '../../../docs/images/call.png') });
for (const browser of browsers) await browser.close();
await server.stop();
rmSync(work, { recursive: true });
