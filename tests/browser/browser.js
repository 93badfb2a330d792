// Debian's Chromium and Firefox, driven by one library, and pages in them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import puppeteer from 'puppeteer-core';
import { until } from '../socketio/server.js';

export { startServer, until } from '../socketio/server.js';

export const out = path.join(import.meta.dirname, 'out');
mkdirSync(out, { recursive: true });

/** How long a page may take for one step. A shared machine is slow, and a test waits no longer than it must. */
export const PATIENCE_MS = 30_000;

const WINDOW = { width: 1280, height: 720 };

/** Chromium's switches: fake devices whose use is granted without asking, and no traffic of its own. */
const CHROMIUM = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
];

/** The same for Firefox. */
const FIREFOX = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  // Relays and servers of tests are on loopback.
  'media.peerconnection.ice.loopback': true,
  // Nobody answers mDNS in a network namespace.
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  // Each would ask a server on the Internet.
  'media.gmp-manager.updateEnabled': false,
  'media.gmp-provider.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** A profile for Firefox that trusts a CA: its relay clients know no exception for pages of tests. */
function profile(ca) {
  const directory = mkdtempSync(path.join(tmpdir(), 'callbox-firefox-'));
  execFileSync('certutil', ['-N', '--empty-password', '-d', `sql:${directory}`]);
  execFileSync('certutil', ['-A', '-n', 'test', '-t', 'C,,', '-i', ca, '-d', `sql:${directory}`]);
  return directory;
}

/**
 * Starts one. `hosts` are names that lead to this machine, `args` more switches for Chromium, `ca` is a file
 * with the certificate of a CA that it trusts.
 */
export async function launch(kind = 'chromium', { args = [], hosts = [], ca = null } = {}) {
  const userDataDir = ca && kind === 'firefox' ? profile(ca) : undefined;
  // A page that waits is told why by its test, before the driver gives up.
  const common = { headless: true, acceptInsecureCerts: Boolean(ca), defaultViewport: WINDOW, protocolTimeout: 240_000 };
  const browser = await (kind === 'firefox' ? puppeteer.launch({
    ...common,
    browser: 'firefox',
    userDataDir,
    executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
    extraPrefsFirefox: { ...FIREFOX, ...(hosts.length && { 'network.dns.localDomains': hosts.join() }) },
  }) : puppeteer.launch({
    ...common,
    browser: 'chrome',
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      ...CHROMIUM,
      ...(ca ? ['--ignore-certificate-errors'] : []),
      // WebRTC looks names up with a dot at their end.
      ...(hosts.length ? [`--host-resolver-rules=${hosts.flatMap((host) => [`MAP ${host} 127.0.0.1`, `MAP ${host}. 127.0.0.1`])}`] : []),
      ...args,
    ],
  }));
  browser.kind = kind;
  if (userDataDir) browser.once('disconnected', () => rmSync(userDataDir, { recursive: true, force: true }));
  return browser;
}

/**
 * Keeps each RTCPeerConnection and WebSocket that a page makes where tests find it. `course` of a connection
 * says when it was told something, when its states changed, and which candidates it found.
 */
function keepConnections() {
  const kept = (window.peerConnections = []);
  const sockets = (window.sockets = []);
  window.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  };
  const METHODS = ['setLocalDescription', 'setRemoteDescription', 'addIceCandidate', 'restartIce', 'setConfiguration'];
  const STATES = ['signalingState', 'iceGatheringState', 'iceConnectionState', 'connectionState'];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...args) {
      super(...args);
      kept.push(this);
      const note = (...words) => this.course.push([`${Date.now() % 1_000_000}`, ...words].filter(Boolean).join(' '));
      this.course = [];
      note('opened');
      for (const method of METHODS) {
        this[method] = (...given) => {
          const { type, sdp, candidate } = given[0] ?? {};
          note(method, type, /a=ice-ufrag:\S+/.exec(sdp)?.[0], candidate);
          return RTCPeerConnection.prototype[method].apply(this, given);
        };
      }
      for (const name of STATES) {
        this.addEventListener(`${name.toLowerCase()}change`, () => note(name, this[name], `DTLS ${this.getSenders()[0]?.transport?.state}`));
      }
      this.addEventListener('icecandidate', ({ candidate }) => note('found', candidate?.candidate || 'all', candidate?.usernameFragment));
    }
  };
}

/** A page in a window and a browser context of its own. `complaints` has every error it reported. */
export async function newPage(browser, { viewport } = {}) {
  const context = await browser.createBrowserContext();
  // A tab that another one covers is slowed down.
  const page = await context.newPage({ type: 'window' });
  page.setDefaultTimeout(PATIENCE_MS);
  page.kind = browser.kind;
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(error.message));
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) page.complaints.push(message.text());
  });
  await page.evaluateOnNewDocument(keepConnections);
  if (viewport) await page.setViewport(viewport);
  return page;
}

/** Closes the page's browser context, as somebody closes a window. */
export const leave = (page) => page.browserContext().close();

/** Closes every page; each test begins with a server that nobody is connected to. */
export async function everybodyLeaves(browsers, server) {
  for (const browser of [browsers].flat()) {
    const [, ...others] = browser.browserContexts();
    for (const context of others) await context.close();
  }
  await until('everybody has gone', async () => (await server.metric('callbox_connections')) === 0, PATIENCE_MS);
}

// ---- What a person does with a page ------------------------------------------------------------

/** Clicks it as soon as it can be clicked. */
export const click = (page, selector) => page.locator(selector).click();

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent);

export const attribute = (page, selector, name) => page.$eval(selector, (element, wanted) => element.getAttribute(wanted), name);

export const isVisible = (page, selector) => page.$eval(selector, (element) => element.checkVisibility({ visibilityProperty: true }));

export async function screenshot(page, name) {
  await page.screenshot({ path: path.join(out, `${name}.png`) });
}

/** A test's pages behaved: no error, no warning, nothing that the content policy refused. */
export function noComplaints(...pages) {
  for (const page of pages) assert.deepEqual(page.complaints, [], `${page.user ?? 'a page'} complained`);
}
