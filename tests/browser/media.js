// Figures of the browsers about the media of a page.

import { PATIENCE_MS, until } from './browser.js';

/** Returns the browser's statistics of a page's latest peer connection. */
export function stats(page) {
  return page.evaluate(async () => {
    const report = await window.peerConnections.at(-1).getStats();
    const entries = [...report.values()];
    const transport = entries.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
    // Firefox marks the selected pair instead.
    const pair = report.get(transport?.selectedCandidatePairId) ?? entries.find((entry) => entry.type === 'candidate-pair' && entry.selected);
    const video = entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');
    const audio = entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'audio');
    const local = report.get(pair?.localCandidateId);
    return {
      local: local?.candidateType,
      remote: report.get(pair?.remoteCandidateId)?.candidateType,
      relayProtocol: local?.relayProtocol,
      url: local?.url,
      framesDecoded: video?.framesDecoded ?? 0,
      audioPackets: audio?.packetsReceived ?? 0,
    };
  });
}

/**
 * Returns counters that show where media stops (sender, path or decoder), followed by the
 * connection's history.
 */
export function counters(page) {
  return page.evaluate(async () => {
    const connection = window.peerConnections.at(-1);
    const wanted = {
      'candidate-pair': ['state', 'nominated', 'selected', 'bytesSent', 'bytesReceived', 'requestsSent', 'responsesReceived'],
      transport: ['dtlsState', 'iceState', 'selectedCandidatePairChanges', 'bytesReceived'],
      'inbound-rtp': ['kind', 'ssrc', 'packetsReceived', 'framesReceived', 'framesDecoded', 'keyFramesDecoded', 'framesDropped', 'pliCount'],
      'outbound-rtp': ['kind', 'ssrc', 'active', 'packetsSent', 'framesEncoded', 'keyFramesEncoded', 'framesSent', 'pliCount', 'qualityLimitationReason'],
    };
    const lines = [`${connection.signalingState}, ICE ${connection.iceConnectionState}, ${connection.connectionState}`];
    for (const entry of (await connection.getStats()).values()) {
      const named = wanted[entry.type]?.filter((name) => entry[name] !== undefined).map((name) => `${name} ${entry[name]}`);
      if (named) lines.push(`${entry.type}: ${named.join(', ')}`);
    }
    for (const { receiver, sender, currentDirection } of connection.getTransceivers()) {
      const shown = (track) => track && `${track.kind} ${track.readyState}${track.muted ? ' muted' : ''}${track.enabled ? '' : ' disabled'}`;
      lines.push(`transceiver ${currentDirection}: sends ${shown(sender.track)}, receives ${shown(receiver.track)}`);
    }
    return [...lines, ...connection.course];
  });
}

/** Waits until `figure` of `stats` has grown by `more`. */
async function advances(page, figure, more) {
  const before = (await stats(page))[figure];
  await until(`${figure} of ${page.user ?? 'the page'} advances`, async () => (await stats(page))[figure] >= before + more, PATIENCE_MS);
}

/** Waits until the page decodes further video frames. */
export const videoAdvances = (page) => advances(page, 'framesDecoded', 10);

/** Waits until the page receives further audio packets. */
export const audioAdvances = (page) => advances(page, 'audioPackets', 25);

/** Measures the longest time without a decoded video frame while `during` runs. */
export async function longestPause(page, during) {
  await page.evaluate(() => {
    const watch = (window.watch = { frames: 0, last: performance.now(), longest: 0 });
    watch.timer = setInterval(async () => {
      const report = [...(await window.peerConnections.at(-1).getStats()).values()];
      const frames = report.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video')?.framesDecoded ?? 0;
      const now = performance.now();
      if (frames > watch.frames) Object.assign(watch, { frames, last: now });
      watch.longest = Math.max(watch.longest, now - watch.last);
    }, 50);
  });
  await during();
  return page.evaluate(() => { clearInterval(window.watch.timer); return window.watch.longest; });
}
