// The application through the relay alone, as behind two NATs that let nothing else through.

import { start } from '@callbox/testing';
import { test as base, expect } from '@playwright/test';
import { serveApp } from './app-server.js';

// ANCHOR: fixtures
/** Each test has a callbox server with options of its own, and the pages of two users. */
const test = base.extend({
  serverOptions: [{}, { option: true }],

  app: async ({}, use) => {
    const app = await serveApp();
    await use(app);
    app.stop();
  },

  server: async ({ app, serverOptions }, use) => {
    const server = await start({ forceRelay: true, options: { allowOrigin: app.url, ...serverOptions } });
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

/** Waits until a page has played more video than now. */
async function videoAdvances(page) {
  const time = () => page.evaluate(() => document.getElementById('remote').currentTime);
  const now = await time();
  await expect.poll(time, { timeout: 30_000 }).toBeGreaterThan(now);
}

/** Returns the types of the two candidates of the selected pair. */
const path = (page) => page.evaluate(async () => {
  const stats = await window.call.pc.getStats();
  const all = [...stats.values()];
  const { selectedCandidatePairId } = all.find(({ type }) => type === 'transport');
  const { localCandidateId, remoteCandidateId } = stats.get(selectedCandidatePairId);
  return [localCandidateId, remoteCandidateId].map((id) => stats.get(id).candidateType);
});

// ANCHOR: relay
test('a call goes through the relay', async ({ users }) => {
  await connect(users);
  for (const page of users) {
    await videoAdvances(page);
    expect(await path(page)).toEqual(['relay', 'relay']);
  }
  await users[0].click('#hang-up');
  await expect(users[1].locator('#state')).toHaveText('ended');
});
// ANCHOR_END: relay

// ANCHOR: expiry
test.describe('with credentials that expire in mid-call', () => {
  test.use({ serverOptions: { credentialTtl: '2s' } });

  test('a call goes on', async ({ users }) => {
    const [alice] = users;
    // The server sends fresh ones after half of their lifetime.
    await alice.evaluate(() => {
      window.renewals = 0;
      window.box.on('ice:servers', () => { window.renewals += 1; });
    });
    await connect(users);
    await expect.poll(() => alice.evaluate(() => window.renewals), { timeout: 30_000 }).toBeGreaterThanOrEqual(4);
    for (const page of users) {
      await videoAdvances(page);
      await expect(page.locator('#state')).toHaveText('connected');
    }
  });
});
// ANCHOR_END: expiry
