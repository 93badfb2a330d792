// One peer of a connection in a page without a server. `print` writes a line for the other page, or
// the outcome; `take` is called with each line of the other page.

let connection;
let channel;
let settings;
let started;
let hasEnded = false;
let lost;
let hasAnswered = false;
const numbers = new Set();

/** The time between two packets, in milliseconds. */
const INTERVAL = 20;

/** The length of a packet in bytes. */
const LENGTH = 160;

/** The time in which the last packets arrive, in milliseconds. */
const LATEST = 1000;

const emit = (value) => print(JSON.stringify(value));
const pause = (time) => new Promise((done) => setTimeout(done, time));

function end(outcome) {
  if (!hasEnded) {
    hasEnded = true;
    emit(outcome);
  }
}

async function start(given) {
  settings = given;
  connection = new RTCPeerConnection({ iceServers: settings.iceServers });
  connection.onicecandidate = ({ candidate }) => candidate && emit({ candidate });
  channel = connection.createDataChannel('packets', {
    negotiated: true, id: 0, ordered: false, maxRetransmits: 0,
  });
  channel.binaryType = 'arraybuffer';
  channel.onmessage = ({ data }) => numbers.add(new DataView(data).getUint32(0));
  channel.onopen = () => sendPackets(Math.round(performance.now() - started));
  setTimeout(() => {
    if (channel.readyState === 'connecting') {
      end({ failed: `no pair of candidates has worked within ${settings.timeout / 1000} s` });
    }
  }, settings.timeout);
  if (settings.isControlling) {
    await connection.setLocalDescription();
    emit({ description: connection.localDescription });
  }
}

let connectTime;

async function sendPackets(time) {
  connectTime = time;
  const begin = performance.now();
  for (let number = 0; number < settings.packets; number++) {
    // Timers are late on a busy machine, and the times of packets are not.
    await pause(begin + number * INTERVAL - performance.now());
    const packet = new DataView(new ArrayBuffer(LENGTH));
    packet.setUint32(0, number);
    channel.send(packet.buffer);
  }
  emit({ sent: { packets: settings.packets } });
}

async function endIfDone() {
  if (!hasAnswered || lost === undefined) return;
  const stats = await connection.getStats();
  const transport = [...stats.values()].find(({ type }) => type === 'transport');
  const pair = stats.get(transport.selectedCandidatePairId);
  const endpoint = (id) => {
    const { candidateType, address, port, relayProtocol } = stats.get(id);
    const host = address?.includes(':') ? `[${address}]` : address;
    return { type: candidateType, address: host && `${host}:${port}`, relay: relayProtocol };
  };
  end({
    local: endpoint(pair.localCandidateId),
    remote: endpoint(pair.remoteCandidateId),
    connect_ms: connectTime,
    sent: settings.packets,
    lost,
  });
}

async function handle({ description, candidate, sent, received }) {
  if (description) {
    started = performance.now();
    await connection.setRemoteDescription(description);
    if (!settings.isControlling) {
      await connection.setLocalDescription();
      emit({ description: connection.localDescription });
    }
  } else if (candidate) {
    await connection.addIceCandidate(candidate);
  } else if (sent) {
    const latest = performance.now() + LATEST;
    while (numbers.size < sent.packets && performance.now() < latest) await pause(INTERVAL);
    emit({ received: { packets: numbers.size } });
    hasAnswered = true;
    await endIfDone();
  } else if (received) {
    lost = settings.packets - received.packets;
    await endIfDone();
  }
}

let last = Promise.resolve();

function take(line) {
  last = last.then(() => handle(JSON.parse(line))).catch((error) => end({ failed: String(error) }));
}
