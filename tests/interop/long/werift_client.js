// werift's TURN client: sends numbered packets through a relay to a peer that echoes them.
//
// Arguments: HOST PORT TRANSPORT SECONDS MILLISECONDS (between packets). Prints one line of JSON.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { createTurnClient } from 'werift-ice';

const [host, port, transport, seconds, milliseconds] = process.argv.slice(2);

const atPeer = new Set();
const peer = createSocket('udp4', (data, { address, port }) => {
  atPeer.add(data.toString());
  peer.send(data, port, address);
});
peer.bind(0, '127.0.0.1');
await once(peer, 'listening');
const to = ['127.0.0.1', peer.address().port];

const back = new Set();
let cameBack = () => {};
const turn = await createTurnClient(
  { address: [host, Number(port)], username: 'user', password: 'pass' },
  { transport },
);
turn.onData.subscribe((data) => {
  back.add(data.toString());
  cameBack();
});

let sent = 0;
const ends = performance.now() + seconds * 1000;
while (performance.now() < ends) {
  await turn.sendData(Buffer.from(String(sent++)), to);
  await sleep(Number(milliseconds));
}
const last = new Promise((resolve) => {
  cameBack = () => back.has(String(sent - 1)) && resolve();
  cameBack();
});
await Promise.race([last, sleep(5000)]);
console.log(JSON.stringify({ sent, to_peer: atPeer.size, back: back.size }));
// werift's timer for the next Refresh keeps the process alive.
process.exit(0);
