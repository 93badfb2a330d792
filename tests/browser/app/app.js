// What tests do with the application in page.js, and what they wait for in it.

import { PATIENCE_MS, until } from '../browser.js';
import { SMALL } from './site.js';

/** Opens the application as a user. `query` is what page.js reads. */
export async function open(site, browser, server, user, query = {}) {
  const page = await site.open(browser, { server: new URL(server.http).origin, token: await server.token(user), ...query });
  page.user = user;
  await page.waitForSelector('body[data-ready]');
  return page;
}

export const state = (page, wanted) => until(`${page.user} is ${wanted}`, async () => {
  const now = await page.evaluate(() => ({ state: window.call?.state, said: window.said }));
  if (now.state === wanted) return true;
  throw new Error(JSON.stringify(now));
}, PATIENCE_MS);

/** A call, connected; gives its id. */
export async function connect(caller, callee, { video } = {}) {
  await caller.evaluate((user, options) => window.box.call(user, options).then(window.follow).then(() => {}), callee.user, { video: video && SMALL });
  for (const page of [caller, callee]) await state(page, 'connected');
  return caller.evaluate(() => window.call.id);
}

/** The call has said `event`, with these fields. */
export const hears = (page, event, wanted) => until(`${page.user} hears ${event}`, () => page.evaluate(
  (name, fields) => window.said.some(([said, detail]) => said === name && Object.entries(fields).every(([key, value]) => detail?.[key] === value)),
  event, wanted,
), PATIENCE_MS);

/** The first part of a page's ICE credentials, which is another one after each restart. */
export const ufrag = (page) => page.evaluate(() => window.call.pc.localDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1]);

/** Nothing is being negotiated, and there is a path. */
export const settled = (page) => until(`${page.user} has settled`, async () => {
  const states = await page.evaluate(() => `${window.call.pc.signalingState} ${window.call.pc.connectionState}`);
  if (states === 'stable connected') return true;
  throw new Error(states);
}, PATIENCE_MS);

// ---- Rooms -------------------------------------------------------------------------------------

/** Comes into the room; gives the id of the participant. */
export const enter = (page, options = { video: SMALL }) => page.evaluate((given) => window.enter(given), options);

/** The page has a connection with media to each of these users, and to nobody else. */
export const meets = (page, ...users) => until(`${page.user} meets ${users}`, () => page.evaluate((wanted) => {
  const { members } = window.room;
  return members.map(({ name }) => name).sort().join() === wanted && members.every(({ state, remoteStream }) => state === 'connected' && remoteStream);
}, users.sort().join()), PATIENCE_MS);

const frames = (page) => page.evaluate(async () => Object.fromEntries(await Promise.all(window.room.members.map(async ({ id, pc }) => {
  const entries = [...(await pc.getStats()).values()];
  return [id, entries.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video')?.framesDecoded ?? 0];
}))));

/** The video of each of the others goes on. */
export async function seesAll(page) {
  const before = await frames(page);
  await until(`${page.user} sees all the others`, async () => {
    const now = await frames(page);
    return Object.keys(before).every((id) => now[id] >= before[id] + 5);
  }, PATIENCE_MS);
}

/** Something of what a page has of one of the others, as `read` gives it of `member`. */
export const member = (page, user, read) => page.evaluate(
  (name, code) => new Function('member', `return ${code}`)(window.room.members.find((each) => each.name === name)),
  user, read,
);

export const roomSays = (page, wanted) => until(`${page.user} hears "${wanted}"`, () => page.evaluate((text) => window.heard.includes(text), wanted), PATIENCE_MS);
