// What browsers themselves say of the media of a page.

import { PATIENCE_MS, until } from './browser.js';

/** What the browser itself says about the newest peer connection of a page. */
export function stats(page) {
  return page.evaluate(async () => {
    const report = await window.peerConnections.at(-1).getStats();
    const entries = [...report.values()];
    const transport = entries.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
    // Firefox marks the pair instead.
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

/** Waits until `figure` of `stats` has grown by `more`. */
async function advances(page, figure, more) {
  const before = (await stats(page))[figure];
  await until(`${figure} of ${page.user ?? 'the page'} advances`, async () => (await stats(page))[figure] >= before + more, PATIENCE_MS);
}

/** Waits until the page has decoded more frames of the other's video than it has now. */
export const videoAdvances = (page) => advances(page, 'framesDecoded', 10);

/** Waits until the page has got more of the other's sound than it has now. */
export const audioAdvances = (page) => advances(page, 'audioPackets', 25);

/** Watches the video of a page; gives the longest time in which no frame was decoded. */
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
