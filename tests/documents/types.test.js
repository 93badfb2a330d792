// Checks that the TypeScript types compile, and that clients can use them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

test('the TypeScript compiler accepts the types and their use', () => {
  const compiler = fileURLToPath(new URL('node_modules/typescript/bin/tsc', import.meta.url));
  const folder = fileURLToPath(new URL('.', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, '--project', folder]);
  assert.equal(status, 0, `${stdout}${stderr}`);
});
