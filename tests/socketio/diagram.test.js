// Tests the call flow's diagram, event by event in its order, between Socket.IO clients, plain
// WebSocket clients, and one of each. All receive the same events.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { kinds, runDiagram } from './flow.js';
import { startServer, until } from './server.js';
import { compare, format } from './transcript.js';

let server;
before(async () => { server = await startServer({ name: 'diagram' }); });
after(async () => { assert.equal(await server?.stop(), 0); });

/** The events of the diagram; other events are additions. */
const DIAGRAM = [
  'alice → server  call:initiate',
  'server → bob  call:incoming',
  'bob → server  call:accept',
  'server → alice  call:accepted',
  'alice → server  ice:candidate',
  'server → bob  ice:candidate',
  'bob → server  ice:candidate',
  'server → alice  ice:candidate',
  'alice → server  signal:offer',
  'server → bob  signal:offer',
  'bob → server  signal:answer',
  'server → alice  signal:answer',
  'alice → server  call:end',
  'server → bob  call:ended',
];
const additions = new Set(['session:welcome', 'call:state']);

const pairs = [
  ['Socket.IO', 'Socket.IO'],
  ['WebSocket', 'WebSocket'],
  ['Socket.IO', 'WebSocket'],
  ['WebSocket', 'Socket.IO'],
  ['Socket.IO, polling only', 'WebSocket'],
  ['Socket.IO, polling only', 'Socket.IO, polling only'],
  ['Socket.IO, WebSocket only', 'Socket.IO, polling only'],
];

describe('the diagram', () => {
  for (const [caller, callee] of pairs) {
    it(`${caller} calls ${callee}`, async () => {
      const transcript = [];
      const alice = await kinds[caller].connect(server, 'alice', await server.token('alice'), { transcript });
      const bob = await kinds[callee].connect(server, 'bob', await server.token('bob'), { transcript });
      try {
        const callId = await runDiagram(alice, bob);
        const lines = format(transcript);
        const names = lines.map((line) => line.split('  ').slice(0, 2).join('  '));
        assert.deepEqual(names.filter((line) => !additions.has(line.split('  ')[1])), DIAGRAM);

        // Compares the events of each side, with additions and payloads. The order between the
        // sides is not compared, since they act independently.
        const seen = (name) => format(transcript.filter(({ who }) => who === name)).join('\n');
        compare('diagram.txt', `${seen('alice')}\n\n${seen('bob')}\n`);

        const record = await server.call(callId);
        assert.equal(record.state, 'ended');
        assert.equal(record.reason, 'hangup');
        assert.deepEqual(record.relay, { allocations: 0, bytesUp: 0, bytesDown: 0 });
      } finally {
        alice.close();
        bob.close();
      }
      await until('both are disconnected', async () => (await server.metric('callbox_connections')) === 0);
    });
  }
});
