// Runs the same short suite with other test runners, and checks the types.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.resolve(import.meta.dirname, '../..');
const CALLBOX_BIN = process.env.CALLBOX_BIN ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'debug/callbox');

function run(args, env = {}) {
  // NODE_TEST_CONTEXT would make a runner below report to this one.
  const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: import.meta.dirname, encoding: 'utf8', timeout: 120_000, env: { ...inherited, CALLBOX_BIN, CI: '1', ...env },
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

describe('the package works in', () => {
  it('Vitest', () => {
    assert.match(run(['node_modules/vitest/vitest.mjs', 'run', '--root', 'runners/vitest']), /1 passed/);
  });

  it('Jest', () => {
    const output = run(['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js', '--rootDir', 'runners/jest']);
    assert.match(output, /1 passed, 1 total/);
  });

  it('Playwright', () => {
    assert.match(run(['node_modules/@playwright/test/cli.js', 'test', '--config', 'runners/playwright']), /1 passed/);
  });

  it('TypeScript', () => {
    run(['node_modules/typescript/bin/tsc', '--project', '.']);
  });
});
