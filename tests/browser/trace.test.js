// Traces a call between two pages that only the relay connects, and compares the drawing with the flow
// diagram of the specification. With UPDATE=1 the drawing and the ladder are written to
// docs/traces.md.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { binary } from '../socketio/server.js';
import { click, launch, assertNoErrors, out, startServer, until } from './browser.js';
import { connect, signIn, summary } from './demo.js';
import { stats, videoAdvances } from './media.js';
import { allowOnlyRelay } from './network.js';

const docs = path.join(import.meta.dirname, '../../docs/traces.md');

/** The steps of the specification's diagram, in its order within each list. */
const FLOW = {
  signaling: [
    ['A->>S', 'call:initiate { targetUserId, callType }'],
    ['S->>B', 'call:incoming { callerId, callType }'],
    ['B->>S', 'call:accept { callId }'],
    ['S->>A', 'call:accepted'],
    ['A->>S', 'signal:offer { sdp }'],
    ['S->>B', 'signal:offer (relay)'],
    ['B->>S', 'signal:answer { sdp }'],
    ['S->>A', 'signal:answer (relay)'],
    ['A->>TURN', 'Relay media'],
    ['TURN->>B', 'Relay media'],
    ['A->>S', 'call:end { callId }'],
    ['S->>B', 'call:ended'],
  ],
  'candidates of A': [
    ['A->>STUN', 'Request server-reflexive candidate'],
    ['STUN->>A', 'srflx candidate'],
    ['A->>S', 'ice:candidate { candidate }'],
    ['S->>B', 'ice:candidate (relay)'],
  ],
  'candidates of B': [
    ['B->>STUN', 'Request server-reflexive candidate'],
    ['STUN->>B', 'srflx candidate'],
    ['B->>S', 'ice:candidate { candidate }'],
    ['S->>A', 'ice:candidate (relay)'],
  ],
  notes: [
    ['Note over A', 'User initiates call'],
    ['Note over B', 'User answers'],
    ['Note over A,B', 'Peer Connection Established'],
    ['Note over A', 'End call'],
  ],
};

/** Asserts that a drawing has every step of the specification's diagram, in order. */
function assertFlow(drawing) {
  const lines = drawing.split('\n').map((line) => line.trim());
  for (const [name, steps] of Object.entries(FLOW)) {
    let from = 0;
    for (const [between, label] of steps) {
      const at = lines.findIndex((line, n) => n >= from && line.startsWith(`${between}: ${label}`));
      assert.ok(at >= 0, `${name}: there is no "${between}: ${label}" after line ${from} of\n${drawing}`);
      from = at + 1;
    }
  }
  for (const note of ['ICE Candidate Gathering', 'SDP Exchange (Offer/Answer)']) {
    assert.ok(lines.includes(`Note over A,B: ${note}`), `${note} is missing in\n${drawing}`);
  }
  assert.ok(lines.includes('alt P2P fails (NAT traversal issue)'), drawing);
}

const block = (text, kind) => new RegExp(`(\`\`\`${kind}\\n)([^]*?)(\`\`\`)`).exec(text)?.[2] ?? '';

let server;
let browser;
let allowAll;
before(async () => {
  server = await startServer({ name: 'trace', directory: import.meta.dirname, args: ['--trace'] });
  allowAll = allowOnlyRelay(server.listening.listen[0].split(':').at(-1));
  browser = await launch();
});
after(async () => {
  allowAll?.();
  await browser?.close();
  assert.equal(await server?.stop(), 0, 'the server ended cleanly');
});

describe('the trace of a relayed call between two pages', () => {
  it('is drawn as the flow diagram of the specification', async () => {
    const [alice, bob] = [await signIn(browser, server, 'alice'), await signIn(browser, server, 'bob')];
    const call = await connect(alice, bob);
    for (const page of [alice, bob]) {
      await videoAdvances(page);
      assert.equal((await stats(page)).local, 'relay');
    }
    const headers = { authorization: `Bearer ${server.dev.apiKey}` };
    const trace = async () => (await fetch(`${server.http}/api/v1/calls/${call}/trace`, { headers })).json();
    const reported = ({ steps }) => steps.some(({ event, path: reports }) => event === 'call:stats' && reports === 'relay');
    await until('a page reports its path', async () => reported(await trace()));
    await click(alice, '#hang-up');
    assert.equal((await summary(bob)).reason, 'hangup');
    assertNoErrors(alice, bob);
    await until('the trace is over', async () => (await trace()).isOver);

    const draw = (...args) => execFileSync(binary, ['trace', call, '--url', server.http, ...args], {
      encoding: 'utf8', env: { ...process.env, CALLBOX_API_KEY: server.dev.apiKey },
    });
    const drawing = draw('--format', 'mermaid');
    writeFileSync(path.join(out, 'trace.mmd'), drawing);
    assertFlow(drawing);
    const document = draw('--format', 'json');
    for (const secret of ['v=0', 'ufrag', 'fingerprint', 'candidate:', 'password']) assert.ok(!document.includes(secret), secret);
    assert.match(draw('--format', 'diagnosis'), /relay/);
    const ladder = draw();
    assert.match(ladder, /call:initiate/);
    if (process.env.UPDATE) {
      const replaced = (text, kind, drawn) => text.replace(new RegExp(`(\`\`\`${kind}\\n)[^]*?(\`\`\`)`), (_, begin, end) => begin + drawn.trimEnd() + '\n' + end);
      writeFileSync(docs, replaced(replaced(readFileSync(docs, 'utf8'), 'mermaid', drawing), 'text', ladder));
    }
  });

  it('is in the documentation', () => {
    assertFlow(block(readFileSync(docs, 'utf8'), 'mermaid'));
  });
});
