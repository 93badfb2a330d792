// Chromium, and what the tests do with the demo page in it.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { until } from '../socketio/server.js';

export { startServer, until } from '../socketio/server.js';

export const out = path.join(import.meta.dirname, 'out');
mkdirSync(out, { recursive: true });

/** Starts Debian's Chromium, with fake devices whose use is granted without asking. */
export function launch(...more) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      ...more,
    ],
  });
}

/** Keeps each RTCPeerConnection and WebSocket that a page makes where tests find it. */
function keepConnections() {
  const kept = (window.peerConnections = []);
  const sockets = (window.sockets = []);
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      kept.push(this);
    }
  };
}

/** A page in a browser context of its own. `complaints` has every error it reported. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(error.message));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) page.complaints.push(message.text());
  });
  await page.addInitScript(keepConnections);
  return page;
}

/** Closes every page; each test begins with a server that nobody is connected to. */
export async function everybodyLeaves(browser, server) {
  for (const context of browser.contexts()) await context.close();
  await until('everybody has gone', async () => (await server.metric('callbox_connections')) === 0);
}

/** The demo page, signed in under a name. */
export async function signIn(browser, server, name, { relayOnly = false, ...options } = {}) {
  const page = await newPage(browser, options);
  await page.goto(new URL(`/?as=${name}${relayOnly ? '&relay=1' : ''}`, server.http).href);
  await page.waitForSelector('#connection[data-state="online"]');
  page.user = name;
  return page;
}

/** `caller` clicks; gives when the card is up at `callee`. */
export async function ring(caller, callee, type = 'video') {
  await caller.click(`[data-user="${callee.user}"] [data-action="call-${type}"]`);
  await callee.waitForSelector(`#incoming[open][data-caller="${caller.user}"]`);
}

/** A whole call set up through the page; gives its id. */
export async function connect(caller, callee, type = 'video') {
  await ring(caller, callee, type);
  await callee.click('#answer');
  for (const page of [caller, callee]) await inState(page, 'connected', 20_000);
  return caller.textContent('[data-metric="call-id"]');
}

export async function inState(page, state, timeout = 10_000) {
  try {
    await page.waitForSelector(`#view-call[data-state="${state}"]:not([hidden])`, { timeout });
  } catch (error) {
    const shown = await page.evaluate(() => ({
      view: document.body.dataset.view,
      state: document.getElementById('view-call').dataset.state,
      notice: document.getElementById('notice-text').textContent,
      last: document.getElementById('last-call').textContent.trim(),
    }));
    throw new Error(`${page.user} is not ${state}: ${JSON.stringify(shown)}`, { cause: error });
  }
}

/** The summary in the lobby after a call. */
export async function summary(page) {
  await page.waitForSelector('#last-call:not([hidden])');
  return page.evaluate(() => ({
    reason: document.getElementById('last-call').dataset.reason,
    title: document.getElementById('last-call-title').textContent,
  }));
}

/** What the browser itself says about the newest peer connection of a page. */
export function stats(page) {
  return page.evaluate(async () => {
    const report = await window.peerConnections.at(-1).getStats();
    const entries = [...report.values()];
    const transport = entries.find((entry) => entry.type === 'transport');
    const pair = report.get(transport?.selectedCandidatePairId);
    const video = entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');
    const audio = entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'audio');
    return {
      local: report.get(pair?.localCandidateId)?.candidateType,
      remote: report.get(pair?.remoteCandidateId)?.candidateType,
      relayProtocol: report.get(pair?.localCandidateId)?.relayProtocol,
      url: report.get(pair?.localCandidateId)?.url,
      framesDecoded: video?.framesDecoded ?? 0,
      audioPackets: audio?.packetsReceived ?? 0,
    };
  });
}

/** Waits until the page has decoded 10 more frames of the other's video than it has now. */
export async function videoAdvances(page) {
  const { framesDecoded } = await stats(page);
  await until(`the video that ${page.user ?? 'the page'} sees advances`, async () => {
    const now = await stats(page);
    return now.framesDecoded >= framesDecoded + 10 && now;
  }, 20_000);
}

/** The person can see and press it without scrolling, and nothing lies over it. */
export async function withinReach(page, ...selectors) {
  for (const selector of selectors) {
    await until(`${selector} is within the window of ${page.user}`, () => page.evaluate((wanted) => {
      const element = document.querySelector(wanted);
      const { left, top, right, bottom } = element.getBoundingClientRect();
      const inside = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
      return inside && element.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
    }, selector), 3_000);
  }
}

/** A test's pages behaved: no error, no warning, nothing that the content policy refused. */
export function noComplaints(...pages) {
  for (const page of pages) assert.deepEqual(page.complaints, [], `${page.user ?? 'a page'} complained`);
}

export async function screenshot(page, name) {
  await page.screenshot({ path: path.join(out, `${name}.png`) });
}

/** A way to the server over TCP that can be cut. */
export async function wire(to) {
  const open = new Set();
  let cut = false;
  const proxy = net.createServer((near) => {
    if (cut) return near.destroy();
    const far = net.connect(Number(to.port), to.hostname);
    for (const [from, other] of [[near, far], [far, near]]) {
      open.add(from);
      from.on('error', () => {}).on('close', () => { open.delete(from); other.destroy(); });
      from.pipe(other);
    }
  });
  await new Promise((listening) => proxy.listen(0, '127.0.0.1', listening));
  return {
    http: `http://127.0.0.1:${proxy.address().port}`,
    cut() { cut = true; for (const socket of open) socket.destroy(); },
    mend() { cut = false; },
    close() { proxy.close(); this.cut(); },
  };
}

/** From now on the page comes back with a new session, as if the time to resume were over. */
export function neverResume(page) {
  return page.evaluate(() => {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function forget(text) {
      const frame = JSON.parse(text);
      delete frame.data?.resume;
      send.call(this, JSON.stringify(frame));
    };
  });
}

/** Watches the video of a page; gives the longest time in which no frame was decoded. */
export async function longestPause(page, during) {
  await page.evaluate(() => {
    const watch = (window.watch = { frames: 0, last: performance.now(), longest: 0 });
    watch.timer = setInterval(async () => {
      const report = [...(await window.peerConnections.at(-1).getStats()).values()];
      const frames = report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video')?.framesDecoded ?? 0;
      const now = performance.now();
      if (frames > watch.frames) Object.assign(watch, { frames, last: now });
      watch.longest = Math.max(watch.longest, now - watch.last);
    }, 50);
  });
  await during();
  return page.evaluate(() => { clearInterval(window.watch.timer); return window.watch.longest; });
}
