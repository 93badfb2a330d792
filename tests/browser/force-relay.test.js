// Tests a call through a server that forces the relay: the pages are told nothing of it.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { click, launch, assertNoErrors, startServer } from './browser.js';
import { connect, signIn, summary } from './demo.js';
import { stats, videoAdvances } from './media.js';

let server;
let browser;
before(async () => {
  server = await startServer({ name: 'force-relay', directory: import.meta.dirname, args: ['--force-relay'] });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
});

describe('with --force-relay', () => {
  it('a call of the demo page goes through the relay on both sides', async () => {
    const [alice, bob] = [await signIn(browser, server, 'alice'), await signIn(browser, server, 'bob')];
    await connect(alice, bob);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      const { local, remote } = await stats(page);
      assert.deepEqual([local, remote], ['relay', 'relay']);
      const policies = await page.evaluate(() => window.peerConnections.map((each) => each.getConfiguration().iceTransportPolicy));
      assert.deepEqual(policies, ['relay']);
    }
    await click(alice, '#hang-up');
    assert.equal((await summary(bob)).reason, 'hangup');
    assertNoErrors(alice, bob);
  });
});
