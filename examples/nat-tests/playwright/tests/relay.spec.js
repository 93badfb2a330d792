// The application through a relay that fails, and behind NATs.

import { findBinary, start } from '@callbox/testing';
import { test as base, expect } from '@playwright/test';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { serveApp } from './app-server.js';
import { path, videoAdvances } from './page.js';

// ANCHOR: fixtures
/** Each test has a callbox server with options of its own, and the pages of two users. */
const test = base.extend({
  serverOptions: [{}, { option: true }],

  app: async ({}, use) => {
    const app = await serveApp();
    await use(app);
    app.stop();
  },

  server: async ({ app, serverOptions }, use, testInfo) => {
    const options = { allowOrigin: app.url, stateDir: testInfo.outputPath('state'), ...serverOptions };
    const server = await start({ forceRelay: true, allowFaults: true, options });
    await use(server);
    await server.stop();
  },

  /** The pages of alice and bob, who are signed in. */
  users: async ({ app, browser, server }, use) => {
    const open = async (user, to = '') => {
      const page = await (await browser.newContext()).newPage();
      const query = new URLSearchParams({ server: server.url, token: await server.token(user), to });
      await page.goto(`${app.url}/?${query}`);
      await expect(page.locator('#state')).toHaveText('online');
      return page;
    };
    await use([await open('alice', 'bob'), await open('bob')]);
  },
});
// ANCHOR_END: fixtures

/** Lets alice call bob, and waits until both are connected. */
async function connect([alice, bob]) {
  await alice.click('#call');
  for (const page of [alice, bob]) await expect(page.locator('#state')).toHaveText('connected');
}

/** Waits until both are connected, play video, and have the relay on both ends of their path. */
async function expectRelayed(pages) {
  for (const page of pages) {
    await expect(page.locator('#state')).toHaveText('connected');
    await videoAdvances(page);
    expect((await path(page)).types).toEqual(['relay', 'relay']);
  }
}

/** Waits until both have other relayed addresses than before. */
async function pathsChange(pages, before) {
  for (const [index, page] of pages.entries()) {
    const changed = expect.poll(async () => (await path(page)).address ?? before[index].address, { timeout: 60_000 });
    await changed.not.toBe(before[index].address);
  }
}

// ANCHOR: relay
test('a call goes through the relay', async ({ users }) => {
  await connect(users);
  await expectRelayed(users);
  await users[0].click('#hang-up');
  await expect(users[1].locator('#state')).toHaveText('ended');
});
// ANCHOR_END: relay

// ANCHOR: expiry
test.describe('while packets are lost', () => {
  test.use({ serverOptions: { maxLifetime: '4s' } });

  test('a call outlives its credentials', async ({ server, users }) => {
    await connect(users);
    await expectRelayed(users);
    const before = await Promise.all(users.map(path));
    await server.faults({ seed: 42, packets: [{ lossPercent: 5 }], actions: [{ action: 'expireCredentials' }] });
    // The relay refuses the refreshes of both sides' allocations, which therefore end. The
    // application gets fresh credentials, and restarts ICE with them.
    await pathsChange(users, before);
    await expectRelayed(users);
    const { injected } = await server.faults(null);
    expect(injected.packetsLost).toBeGreaterThan(0);
  });
});
// ANCHOR_END: expiry

// ANCHOR: restart
test('a call outlives its server', async ({ server, users }) => {
  await connect(users);
  await expectRelayed(users);
  const before = await Promise.all(users.map(path));
  await server.restart();
  // The call goes on, since the server has a state directory. The relay's allocations are gone: the
  // application restarts ICE.
  await pathsChange(users, before);
  await expectRelayed(users);
  await users[0].click('#hang-up');
  await expect(users[1].locator('#state')).toHaveText('ended');
});
// ANCHOR_END: restart

// ANCHOR: symmetric
// Each side is behind a symmetric NAT of its own. The server does not force the relay: there is no
// other path.
test('a call between symmetric NATs', async () => {
  test.skip(process.platform !== 'linux', 'callbox natlab needs Linux');
  const lab = ['natlab', 'run', '--a=symmetric', '--b=symmetric', '--timeout=60s', '--'];
  const peer = [process.execPath, fileURLToPath(new URL('peer.js', import.meta.url))];
  // Rejects with the output if a side fails.
  const { stdout } = await promisify(execFile)(findBinary(), [...lab, ...peer]);
  for (const side of ['a', 'b']) {
    expect(stdout).toMatch(new RegExp(`^${side} \\| .*relay`, 'm'));
    expect(stdout).toMatch(new RegExp(`^${side} \\| both have video$`, 'm'));
  }
});
// ANCHOR_END: symmetric
