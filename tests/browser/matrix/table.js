// The table in docs/browsers.md of each scenario in each ordered pair of browsers.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const file = path.join(import.meta.dirname, '../../../docs/browsers.md');
const KINDS = ['chromium', 'firefox'];
const SECTION = /(<!-- made by tests\/browser\/matrix\.test\.js -->\n)([\s\S]*?)(<!-- end -->)/;

/** The ordered pairs of caller and callee. */
export const PAIRS = KINDS.flatMap((caller) => KINDS.map((callee) => [caller, callee]));

const title = (kind) => kind[0].toUpperCase() + kind.slice(1);

export class Table {
  #scenarios;
  #cells = new Map();
  #versions = new Map();

  constructor(scenarios) {
    this.#scenarios = scenarios;
  }

  browser(kind, version) {
    this.#versions.set(kind, version.replace(/^.*\//, ''));
  }

  set(scenario, pair, outcome) {
    this.#cells.set(`${scenario}: ${pair}`, outcome);
  }

  write() {
    const versions = KINDS.map((kind) => `${title(kind)} ${this.#versions.get(kind)}`).join(' and ');
    // Scenarios that did not run now keep their previous results.
    const before = new Map(this.#committed().map(([scenario, ...outcomes]) => [scenario, outcomes]));
    const rows = this.#scenarios.map((scenario) => [scenario, ...PAIRS.map((pair, number) => (
      this.#cells.get(`${scenario}: ${pair}`) ?? before.get(scenario)?.[number] ?? 'not run'
    ))]);
    const line = (cells) => `| ${cells.join(' | ')} |\n`;
    const table = `${versions}, caller → callee:\n\n${line(['', ...PAIRS.map((pair) => pair.map(title).join(' → '))])}|---|${'---|'.repeat(PAIRS.length)}\n${rows.map(line).join('')}`;
    writeFileSync(file, readFileSync(file, 'utf8').replace(SECTION, (_, begin, __, end) => `${begin}${table}${end}`));
  }

  /** Asserts that the committed table has exactly these scenarios and that all passed. */
  check() {
    const rows = this.#committed();
    assert.deepEqual(rows.map(([scenario]) => scenario), this.#scenarios, 'run with UPDATE=1 and read what changed');
    for (const [scenario, ...outcomes] of rows) assert.deepEqual(outcomes, PAIRS.map(() => 'passes'), scenario);
  }

  #committed() {
    const [, , table] = SECTION.exec(readFileSync(file, 'utf8')) ?? assert.fail('docs/browsers.md has no table of the tests');
    return table.split('\n').filter((row) => row.startsWith('| ')).slice(1).map((row) => row.split('|').slice(1, -1).map((cell) => cell.trim()));
  }
}
