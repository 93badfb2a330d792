import { start } from '@callbox/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

let server;
beforeAll(async () => { server = await start({ forceRelay: true }); });
afterAll(() => server?.stop());

test('a user gets a relay', async () => {
  expect(await server.iceConfig('alice')).toMatchObject({ iceTransportPolicy: 'relay' });
});
