// What the tests see of a page of the application.

import { expect } from '@playwright/test';

/** Waits until a page has played more video than now. */
export async function videoAdvances(page) {
  const time = () => page.evaluate(() => document.getElementById('remote').currentTime);
  const now = await time();
  await expect.poll(time, { timeout: 30_000 }).toBeGreaterThan(now);
}

/** Returns the two candidates of the selected pair, by their types and the address of this side. */
export const path = (page) => page.evaluate(async () => {
  const stats = await window.call.pc.getStats();
  const all = [...stats.values()];
  const { selectedCandidatePairId } = all.find(({ type }) => type === 'transport');
  if (!selectedCandidatePairId) return {};
  const { localCandidateId, remoteCandidateId } = stats.get(selectedCandidatePairId);
  const [local, remote] = [stats.get(localCandidateId), stats.get(remoteCandidateId)];
  return { types: [local.candidateType, remote.candidateType], address: `${local.address}:${local.port}` };
});
