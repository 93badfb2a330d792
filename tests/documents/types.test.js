// The types for TypeScript are types to TypeScript, and do what clients need them for.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

test('the compiler accepts the types, and what clients do with them', () => {
  const compiler = fileURLToPath(new URL('node_modules/typescript/bin/tsc', import.meta.url));
  const folder = fileURLToPath(new URL('.', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, '--project', folder]);
  assert.equal(status, 0, `${stdout}${stderr}`);
});
