// Actions on the demo page, for tests.

import { click, newPage, PATIENCE_MS, text, until } from './browser.js';

/** Opens the demo page and signs in. */
export async function signIn(browser, server, name, { relayOnly = false, ...options } = {}) {
  const page = await newPage(browser, options);
  await page.goto(new URL(`/?as=${name}${relayOnly ? '&relay=1' : ''}`, server.http).href);
  await page.waitForSelector('#connection[data-state="online"]');
  page.user = name;
  return page;
}

/** Clicks the call button at `caller` and waits until the call is announced at `callee`. */
export async function ring(caller, callee, type = 'video') {
  await click(caller, `[data-user="${callee.user}"] [data-action="call-${type}"]`);
  await callee.waitForSelector(`#incoming[open][data-caller="${caller.user}"]`);
}

/** Sets up a connected call through the page and returns its id. */
export async function connect(caller, callee, type = 'video') {
  await ring(caller, callee, type);
  await click(callee, '#answer');
  for (const page of [caller, callee]) await inState(page, 'connected');
  return text(caller, '[data-metric="call-id"]');
}

export async function inState(page, state, timeout = PATIENCE_MS) {
  try {
    await page.waitForSelector(`#view-call[data-state="${state}"]:not([hidden])`, { timeout });
  } catch (error) {
    const shown = await page.evaluate(() => ({
      view: document.body.dataset.view,
      state: document.getElementById('view-call').dataset.state,
      notice: document.getElementById('notice-text').textContent,
      last: document.getElementById('last-call').textContent.trim(),
    }));
    throw new Error(`${page.user} is not ${state}: ${JSON.stringify(shown)}`, { cause: error });
  }
}

/** Waits for the summary that the lobby shows after a call, and returns it. */
export async function summary(page, timeout = PATIENCE_MS) {
  await page.waitForSelector('#last-call:not([hidden])', { timeout });
  return page.evaluate(() => ({
    reason: document.getElementById('last-call').dataset.reason,
    title: document.getElementById('last-call-title').textContent,
  }));
}

/** Waits until each element can be clicked without scrolling and is not covered. */
export async function assertClickable(page, ...selectors) {
  for (const selector of selectors) {
    await until(`${selector} is within the window of ${page.user}`, () => page.evaluate((wanted) => {
      const element = document.querySelector(wanted);
      const { left, top, right, bottom } = element.getBoundingClientRect();
      const inside = left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight;
      return inside && element.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
    }, selector));
  }
}
