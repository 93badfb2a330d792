// Launches Debian's Chromium and Firefox with Puppeteer, and opens pages in them.

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

/** Time limit for one step of a page; generous, since shared machines are slow. */
export const PATIENCE_MS = 30_000;

const WINDOW = { width: 1280, height: 720 };

/** Command line of Chromium: fake devices that need no permission, and no traffic of its own. */
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

/** Preferences of Firefox for the same. */
const FIREFOX = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  // Relays and servers of the tests are on loopback.
  'media.peerconnection.ice.loopback': true,
  // There is no mDNS responder in the network namespace.
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  // Each of these would contact a server on the Internet.
  'media.gmp-manager.updateEnabled': false,
  'media.gmp-provider.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/**
 * Creates a Firefox profile that trusts a CA: Firefox's TURN client ignores certificate exceptions.
 */
function profile(ca) {
  const directory = mkdtempSync(path.join(tmpdir(), 'callbox-firefox-'));
  execFileSync('certutil', ['-N', '--empty-password', '-d', `sql:${directory}`]);
  execFileSync('certutil', ['-A', '-n', 'test', '-t', 'C,,', '-i', ca, '-d', `sql:${directory}`]);
  return directory;
}

/**
 * Launches a browser. `hosts` are names that resolve to this machine, `args` further switches of
 * Chromium, and `ca` a file with the certificate of a CA to trust.
 */
export async function launch(kind = 'chromium', { args = [], hosts = [], ca = null } = {}) {
  const userDataDir = ca && kind === 'firefox' ? profile(ca) : undefined;
  // Longer than PATIENCE_MS, so that the test's own message is seen rather than the driver's.
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
      // WebRTC looks up names with a trailing dot.
      ...(hosts.length ? [`--host-resolver-rules=${hosts.flatMap((host) => [`MAP ${host} 127.0.0.1`, `MAP ${host}. 127.0.0.1`])}`] : []),
      ...args,
    ],
  }));
  browser.kind = kind;
  if (userDataDir) browser.once('disconnected', () => rmSync(userDataDir, { recursive: true, force: true }));
  return browser;
}

/**
 * Stores each RTCPeerConnection and WebSocket of a page for tests. The `course` of a connection
 * lists its method calls, state changes and candidates with times.
 */
function recordConnections() {
  const connections = (window.peerConnections = []);
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
      connections.push(this);
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

/**
 * Opens a page in its own window and browser context. `errors` collects the errors it reports.
 */
export async function newPage(browser, { viewport } = {}) {
  const context = await browser.createBrowserContext();
  // A tab that is covered by another one is throttled.
  const page = await context.newPage({ type: 'window' });
  page.setDefaultTimeout(PATIENCE_MS);
  page.kind = browser.kind;
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(error.message));
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) page.errors.push(message.text());
  });
  await page.evaluateOnNewDocument(recordConnections);
  if (viewport) await page.setViewport(viewport);
  return page;
}

/** Closes a page with its browser context, like a user who closes the window. */
export const closePage = (page) => page.browserContext().close();

/** Closes all pages and waits until the server has no connections. */
export async function closeAllPages(browsers, server) {
  for (const browser of [browsers].flat()) {
    const [, ...others] = browser.browserContexts();
    for (const context of others) await context.close();
  }
  await until('all connections are closed', async () => (await server.metric('callbox_connections')) === 0, PATIENCE_MS);
}

// ---- Actions of a user --------------------------------------------------------------------------

/** Clicks an element as soon as it can be clicked. */
export const click = (page, selector) => page.locator(selector).click();

export const text = (page, selector) => page.$eval(selector, (element) => element.textContent);

export const attribute = (page, selector, name) => page.$eval(selector, (element, wanted) => element.getAttribute(wanted), name);

export const isVisible = (page, selector) => page.$eval(selector, (element) => element.checkVisibility({ visibilityProperty: true }));

export async function screenshot(page, name) {
  await page.screenshot({ path: path.join(out, `${name}.png`) });
}

/**
 * Asserts that the pages reported no error, warning or violation of the content security policy.
 */
export function assertNoErrors(...pages) {
  for (const page of pages) assert.deepEqual(page.errors, [], `${page.user ?? 'a page'} reported errors`);
}
