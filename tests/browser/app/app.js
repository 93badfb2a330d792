// Actions on the application in page.js, for tests, and conditions to wait for.

import { PATIENCE_MS, until } from '../browser.js';
import { SMALL } from './site.js';

/** Opens the application as a user. `query` is read by page.js. */
export async function open(site, browser, server, user, query = {}) {
  const page = await site.open(browser, { server: new URL(server.http).origin, token: await server.token(user), ...query });
  page.user = user;
  await page.waitForSelector('body[data-ready]');
  return page;
}

export const waitForState = (page, wanted) => until(`${page.user} is ${wanted}`, async () => {
  const now = await page.evaluate(() => ({ state: window.call?.state, said: window.said }));
  if (now.state === wanted) return true;
  throw new Error(JSON.stringify(now));
}, PATIENCE_MS);

/** Sets up a connected call and returns its id. */
export async function connect(caller, callee, { video } = {}) {
  await caller.evaluate((user, options) => window.box.call(user, options).then(window.follow).then(() => {}), callee.user, { video: video && SMALL });
  for (const page of [caller, callee]) await waitForState(page, 'connected');
  return caller.evaluate(() => window.call.id);
}

/** Waits until the call has emitted `event` with these fields. */
export const waitForEvent = (page, event, wanted) => until(`${page.user} receives ${event}`, () => page.evaluate(
  (name, fields) => window.said.some(([said, detail]) => said === name && Object.entries(fields).every(([key, value]) => detail?.[key] === value)),
  event, wanted,
), PATIENCE_MS);

/** Returns the ICE ufrag of a page, which changes with each ICE restart. */
export const ufrag = (page) => page.evaluate(() => window.call.pc.localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]);

/** Waits until no negotiation is pending and the connection is up. */
export const waitUntilSettled = (page) => until(`${page.user} has a stable connection`, async () => {
  const states = await page.evaluate(() => `${window.call.pc.signalingState} ${window.call.pc.connectionState}`);
  if (states === 'stable connected') return true;
  throw new Error(states);
}, PATIENCE_MS);

// ---- Rooms -------------------------------------------------------------------------------------

/** Joins the room and returns the participant's id. */
export const joinRoom = (page, options = { video: SMALL }) => page.evaluate((given) => window.joinRoom(given), options);

/** Waits until the page has connections with media to exactly these users. */
export const waitForMembers = (page, ...users) => until(`${page.user} is connected to ${users}`, () => page.evaluate((wanted) => {
  const { members } = window.room;
  return members.map(({ name }) => name).sort().join() === wanted && members.every(({ state, remoteStream }) => state === 'connected' && remoteStream);
}, users.sort().join()), PATIENCE_MS);

const frames = (page) => page.evaluate(async () => Object.fromEntries(await Promise.all(window.room.members.map(async ({ id, pc }) => {
  const entries = [...(await pc.getStats()).values()];
  return [id, entries.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video')?.framesDecoded ?? 0];
}))));

/** Waits until the video of each other member advances. */
export async function waitForAllVideos(page) {
  const before = await frames(page);
  await until(`${page.user} receives all videos`, async () => {
    const now = await frames(page);
    return Object.keys(before).every((id) => now[id] >= before[id] + 5);
  }, PATIENCE_MS);
}

/** Evaluates the expression `read` on the page's `member` object of a user. */
export const member = (page, user, read) => page.evaluate(
  (name, code) => new Function('member', `return ${code}`)(window.room.members.find((each) => each.name === name)),
  user, read,
);

export const waitForRoomEvent = (page, wanted) => until(`${page.user} receives "${wanted}"`, () => page.evaluate((text) => window.heard.includes(text), wanted), PATIENCE_MS);
