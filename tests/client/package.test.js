// Tests the npm package: its types, its files, and its version.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';

const root = path.join(import.meta.dirname, '../..');
const read = (...parts) => readFileSync(path.join(root, ...parts), 'utf8');
const manifest = JSON.parse(read('clients/js/package.json'));

it('has consistent types that an application can use', () => {
  const tsc = path.join(import.meta.dirname, 'node_modules/typescript/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '--project', import.meta.dirname], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

it('contains the module and its types, without install scripts and dependencies', () => {
  const packed = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: path.join(root, 'clients/js'), encoding: 'utf8' }));
  assert.deepEqual(packed[0].files.map((file) => file.path).sort(), ['LICENSE', 'README.md', 'callbox.d.ts', 'callbox.js', 'events.d.ts', 'package.json']);
  for (const field of ['scripts', 'dependencies', 'peerDependencies', 'optionalDependencies']) assert.equal(manifest[field], undefined, field);
  assert.equal(read('clients/js/LICENSE'), read('LICENSE'));
});

it('has the version of the server', () => {
  assert.equal(manifest.version, /^version = "(.*)"$/m.exec(read('Cargo.toml'))[1]);
});

it('exports exactly what its types declare', async () => {
  const module = await import(path.join(root, 'clients/js/callbox.js'));
  const declared = [...read('clients/js/callbox.d.ts').matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(Object.keys(module).sort(), declared.sort());
});
