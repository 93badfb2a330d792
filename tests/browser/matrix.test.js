// Runs each scenario in each ordered pair of browsers. `UPDATE=1` writes the results into
// docs/browsers.md.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { closeAllPages, launch, until } from './browser.js';
import { open } from './app/app.js';
import { startSite } from './app/site.js';
import { counters } from './media.js';
import { RELAY, startMatrixServer } from './matrix/server.js';
import { calls } from './matrix/calls.js';
import { changes } from './matrix/changes.js';
import { multiparty } from './matrix/multiparty.js';
import { pages } from './matrix/pages.js';
import { paths } from './matrix/paths.js';
import { PAIRS, Table } from './matrix/table.js';

const scenarios = { ...calls, ...changes, ...paths, ...multiparty, ...pages };
const table = new Table(Object.keys(scenarios));

const browsers = {};
let server;
let site;
before(async () => {
  server = await startMatrixServer();
  for (const kind of ['chromium', 'firefox']) {
    browsers[kind] = await launch(kind, { ca: server.ca, hosts: [RELAY] });
    table.browser(kind, await browsers[kind].version());
  }
  site = await startSite();
});
after(async () => {
  for (const browser of Object.values(browsers)) await browser.close();
  site?.close();
  assert.equal(await server?.end(), 0, 'the server ended cleanly');
  if (process.env.UPDATE) table.write();
});
afterEach(async () => {
  await closeAllPages(Object.values(browsers), server);
  // The server waits for the return of a page that closed without a hang-up; its user is busy until
  // then.
  await until('no call is left', async () => (await server.metric('callbox_calls')) === 0, 60_000);
});

for (const [name, run] of Object.entries(scenarios)) {
  describe(name, () => {
    for (const [caller, callee] of PAIRS) {
      it(`${name}: ${caller} → ${callee}`, async () => {
        const kinds = { alice: caller, bob: callee, other: caller === 'firefox' ? 'chromium' : 'firefox' };
        const opened = [];
        try {
          await run({
            server: () => server,
            restart: () => server.restart(),
            browser: (user) => browsers[kinds[user]],
            /**
             * Opens a page for a user: alice in the caller's browser, bob in the callee's, others
             * as `as` says.
             */
            async open(user, query = {}, as = user) {
              const page = await open(site, browsers[kinds[as]], server, user, query);
              opened.push(page);
              return page;
            },
          });
          for (const page of opened) await page.evaluate(() => window.box?.close());
          table.set(name, [caller, callee], 'passes');
        } catch (error) {
          const report = await Promise.all(opened.map(async (page) => `${page.user} (${page.kind}): ${await page.evaluate(() => JSON.stringify(window.said?.map(([event, detail]) => [event, detail?.error?.message ?? detail]))).catch(() => 'gone')} ${page.errors.join('; ')}\n  ${(await counters(page).catch(() => ['no connection'])).join('\n  ')}`));
          table.set(name, [caller, callee], 'FAILS');
          throw new Error(`${error.message}\n${report.join('\n')}`, { cause: error });
        }
      });
    }
  });
}

it('docs/browsers.md lists these scenarios', () => process.env.UPDATE || table.check());
