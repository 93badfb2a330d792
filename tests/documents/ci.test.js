// Runs the scripts of the CI templates in deploy/ci, as a runner of GitHub or GitLab does, with the
// real binary. Only the build is left out: a `cargo` in PATH copies the binary.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { parse } from 'yaml';

const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = process.env.CALLBOX_BIN ?? join(root, 'target/debug/callbox');
const deadline = 20_000;

/** Makes a folder with a `cargo` that builds by copying, and removes it after the test. */
function workspace(t) {
  const folder = mkdtempSync(join(tmpdir(), 'callbox-ci-'));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/cargo'), `#!/bin/sh
[ "$*" = 'build --release --locked --bin callbox' ] && [ -f Cargo.lock ] || exit 9
mkdir -p "$CARGO_TARGET_DIR/release" && ln -f -s '${binary}' "$CARGO_TARGET_DIR/release/callbox"
`);
  chmodSync(join(folder, 'bin/cargo'), 0o755);
  return folder;
}

/** Returns the environment of a job, with nothing of this process but what a machine has. */
const environment = (folder, more) => ({
  PATH: `${join(folder, 'bin')}:${process.env.PATH}`, HOME: join(folder, 'home'), TMPDIR: folder, ...more,
});

/** The process that runs the steps of a job: their parent. */
class Runner {
  #process;
  #output = '';
  #ended;

  constructor(t) {
    // It runs one command for each line, and prints its exit code.
    const loop = 'while IFS= read -r line; do eval "$line" 2>&1; echo "exit code $?"; done';
    this.#process = spawn('bash', ['-c', loop], { env: { PATH: process.env.PATH } });
    this.#process.stdout.on('data', (data) => { this.#output += data; });
    this.#ended = new Promise((resolve) => { this.#process.on('exit', resolve); });
    t.after(() => this.end());
  }

  /** Runs a file with a shell to its end, and returns its exit code and output. */
  async run(shell, file, env) {
    this.#output = '';
    const words = ['env', '-i', ...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...shell, file];
    const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    this.#process.stdin.write(`${quoted}\n`);
    const code = await until(() => this.#output.match(/(?:^|\n)exit code (\d+)\n$/)?.[1]);
    return { code: Number(code), output: this.#output };
  }

  end() {
    this.#process.kill('SIGKILL');
    return this.#ended;
  }
}

/** Waits until a function returns something. */
async function until(found) {
  const start = Date.now();
  for (;;) {
    const result = found();
    if (result) return result;
    assert.ok(Date.now() - start < deadline, `in vain: ${found}`);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
}

const isGone = (pid) => { try { process.kill(pid, 0); return false; } catch { return true; } };

/** Returns the `name=value` lines of a file. */
const settings = (text) => Object.fromEntries(text.trim().split('\n').map((line) => line.split(/=(.*)/s)));

/** Asserts that the settings are those of a server that runs. */
async function serves({ url, websocket, apiKey, stun, turn, httpPort, turnPort }) {
  assert.equal((await fetch(`${url}/healthz`)).status, 200);
  const calls = await fetch(`${url}/api/v1/calls`, { headers: { authorization: `Bearer ${apiKey}` } });
  assert.equal(calls.status, 200);
  assert.equal(new URL(url).port, httpPort);
  assert.equal(websocket, `ws://127.0.0.1:${httpPort}/ws`);
  assert.equal(stun, `stun:127.0.0.1:${turnPort}`);
  assert.equal(turn, `turn:127.0.0.1:${turnPort}?transport=udp`);
}

// ---- GitHub --------------------------------------------------------------------------------------

const action = parse(readFileSync(join(root, 'deploy/ci/github/action.yml'), 'utf8'));

/** A job that uses the action: it evaluates expressions, and runs the scripts. */
class Job {
  ran = [];
  used = {};
  output = '';
  failed = false;
  #steps = {};

  constructor(folder, runner, inputs) {
    this.folder = folder;
    this.runner = runner;
    const defaults = Object.entries(action.inputs).map(([name, input]) => [name, input.default]);
    this.inputs = { ...Object.fromEntries(defaults), ...inputs };
  }

  /** Evaluates an expression of the kinds that the action has. */
  #value(expression) {
    const contexts = {
      inputs: this.inputs, steps: this.#steps, runner: { temp: this.folder, os: 'Linux', arch: 'X64' },
      github: { job: 'test' },
    };
    const value = expression.trim().split('.').reduce((value, name) => value?.[name], contexts);
    assert.ok(value !== undefined || expression.includes('outputs'), `nothing is known of ${expression}`);
    return value ?? '';
  }

  fill(text) { return String(text).replace(/\$\{\{(.*?)\}\}/g, (_, expression) => this.#value(expression)); }

  #holds(condition) {
    if (condition === 'failure()') return this.failed;
    if (this.failed) return false;
    return (condition ?? '').split('&&').filter(Boolean).every((part) => {
      const [, name, operator, text] = part.trim().match(/^(\S+) (==|!=) '(.*)'$/);
      return (this.#value(name) === text) === (operator === '==');
    });
  }

  async run() {
    for (const [number, step] of action.runs.steps.entries()) {
      if (!this.#holds(step.if)) continue;
      this.ran.push(step.name);
      const given = Object.entries(step.env ?? step.with ?? {}).map(([name, value]) => [name, this.fill(value)]);
      if (step.uses) {
        this.used[step.uses] = Object.fromEntries(given);
        if (step.id) this.#steps[step.id] = { outputs: {} };
        continue;
      }
      const file = join(this.folder, `step-${number}.sh`);
      const output = join(this.folder, `output-${number}`);
      for (const path of [output, join(this.folder, 'env'), join(this.folder, 'path')]) writeFileSync(path, '', { flag: 'a' });
      writeFileSync(file, step.run);
      const earlier = readFileSync(join(this.folder, 'env'), 'utf8');
      const env = environment(this.folder, {
        ...(earlier && settings(earlier)), ...Object.fromEntries(given), GITHUB_OUTPUT: output, GITHUB_ENV: join(this.folder, 'env'),
        GITHUB_PATH: join(this.folder, 'path'), GITHUB_ACTION_PATH: join(root, 'deploy/ci/github'),
        RUNNER_TEMP: this.folder,
      });
      // As GitHub runs `shell: bash`.
      const bash = ['bash', '--noprofile', '--norc', '-e', '-o', 'pipefail'];
      const result = await this.runner.run(bash, file, env);
      this.output += result.output;
      this.failed ||= result.code !== 0;
      const text = readFileSync(output, 'utf8');
      if (step.id) this.#steps[step.id] = { outputs: text ? settings(text) : {} };
    }
    const outputs = Object.entries(action.outputs).map(([name, { value }]) => [name, this.fill(value)]);
    this.outputs = Object.fromEntries(outputs);
    return this;
  }
}

/** Returns the settings that a test wants. */
const named = (outputs) => ({
  ...outputs, apiKey: outputs['api-key'], httpPort: outputs['http-port'], turnPort: outputs['turn-port'],
});

test('each script of the action is bash, and has its values from the environment', () => {
  assert.equal(action.runs.using, 'composite');
  for (const { run, shell, name } of action.runs.steps) {
    assert.ok(name);
    if (!run) continue;
    assert.equal(shell, 'bash');
    // An expression in a script would run what an input says.
    assert.doesNotMatch(run, /\$\{\{/);
    execFileSync('bash', ['-n'], { input: run });
  }
  execFileSync('sh', ['-n', join(root, 'deploy/ci/start')]);
});

test('the action starts a binary that is there, and the server ends with the job', async (t) => {
  const runner = new Runner(t);
  const job = await new Job(workspace(t), runner, { binary, options: "--force-relay --realm 'a b'" }).run();
  assert.ok(!job.failed, job.output);
  assert.deepEqual(job.ran, ['Find the binary', 'Start the server']);
  await serves(named(job.outputs));
  assert.equal(readFileSync(join(job.folder, 'env'), 'utf8'), `CALLBOX_BIN=${binary}\n`);
  for (const name of ['api-key', 'token-secret', 'auth-secret']) {
    assert.ok(job.outputs[name].length >= 32);
    assert.match(job.output, new RegExp(`^::add-mask::${job.outputs[name]}$`, 'm'));
  }
  const pid = Number(settings(readFileSync(join(job.folder, 'output-3'), 'utf8')).pid);
  assert.ok(!isGone(pid));
  await runner.end();
  await until(() => isGone(pid));
  assert.ok(existsSync(job.outputs.log));
});

test('without a binary the action builds one, unless it is in the cache', async (t) => {
  const folder = workspace(t);
  const job = await new Job(folder, new Runner(t), {}).run();
  assert.ok(!job.failed, job.output);
  assert.deepEqual(job.ran, ['Find the binary', 'Get it from the cache', 'Build it', 'Start the server']);
  assert.equal(job.outputs.binary, join(folder, 'home/.cache/callbox/bin/callbox'));
  assert.ok(existsSync(job.outputs.binary));
  assert.match(job.used['actions/cache@v4'].key, /^callbox-Linux-X64-[0-9a-f]{64}$/);
  await serves(named(job.outputs));
});

test('the log of a server that does not start is shown and uploaded', async (t) => {
  const job = await new Job(workspace(t), new Runner(t), { binary, options: '--no-such-option' }).run();
  assert.ok(job.failed);
  assert.match(job.output, /callbox does not start; it logged:\n[^]*--no-such-option/);
  const { path } = job.used['actions/upload-artifact@v4'];
  assert.match(readFileSync(path, 'utf8'), /--no-such-option/);
});

// ---- GitLab --------------------------------------------------------------------------------------

const template = parse(readFileSync(join(root, 'deploy/ci/gitlab.yml'), 'utf8'))['.callbox'];

/** Runs a job of GitLab, whose script goes on with its before_script. */
async function gitlab(t, shell, script, variables) {
  const folder = workspace(t);
  // A repository with what the template needs of it.
  const repository = join(folder, 'repository');
  cpSync(join(root, 'deploy'), join(repository, 'deploy'), { recursive: true });
  writeFileSync(join(repository, 'Cargo.lock'), '');
  const git = (...args) => execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args]);
  git('init', '--quiet', '--initial-branch=main');
  git('add', '.');
  git('commit', '--quiet', '--message=all');
  const file = join(folder, 'job.sh');
  writeFileSync(file, ['set -e', ...template.before_script, script].join('\n'));
  execFileSync(shell, ['-n', file]);
  const env = environment(folder, {
    ...template.variables, CALLBOX_REPOSITORY: repository, CI_PROJECT_DIR: folder, ...variables,
  });
  return { folder, ...await new Runner(t).run([shell], file, env) };
}

const show = 'for name in URL WEBSOCKET STUN TURN HTTP_PORT TURN_PORT API_KEY TOKEN_SECRET AUTH_SECRET; do\n'
  + '  eval "echo \\"$name=\\$CALLBOX_$name\\""\ndone';

for (const shell of ['bash', 'sh']) {
  test(`a job of GitLab with ${shell} has a server, which ends with it`, async (t) => {
    const use = `node --input-type=module --eval '
      const { CALLBOX_URL: url, CALLBOX_API_KEY: key } = process.env;
      const answers = [await fetch(url + "/healthz"), await fetch(url + "/api/v1/calls", { headers: { authorization: "Bearer " + key } })];
      process.exit(answers.every(({ ok }) => ok) ? 0 : 1);'
      printf "%s\\n" "$CALLBOX_SETTINGS" | grep "^pid="`;
    const job = await gitlab(t, shell, `${show}\n${use}`, { CALLBOX_OPTIONS: "--realm 'a b'" });
    assert.equal(job.code, 0, job.output);
    const values = settings(job.output);
    for (const name of ['URL', 'WEBSOCKET', 'STUN', 'TURN', 'HTTP_PORT', 'TURN_PORT', 'API_KEY']) assert.ok(values[name], name);
    for (const name of ['TOKEN_SECRET', 'AUTH_SECRET']) assert.ok(values[name].length >= 32);
    await until(() => isGone(Number(values.pid)));
    for (const path of template.artifacts.paths) assert.ok(existsSync(join(job.folder, path)), path);
    for (const path of template.cache.paths) assert.ok(existsSync(join(job.folder, path)), path);
  });
}

test('a job of GitLab fails with a server that does not start', async (t) => {
  const job = await gitlab(t, 'sh', 'echo unreachable', { CALLBOX_OPTIONS: '--no-such-option' });
  assert.notEqual(job.code, 0);
  assert.doesNotMatch(job.output, /unreachable/);
  assert.match(readFileSync(join(job.folder, 'callbox.log'), 'utf8'), /--no-such-option/);
});
