// Formats a transcript as comparable text, with placeholders for values that differ between runs.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** Replaces ids, times, ports and secrets by placeholders, and sorts the keys. */
function normalise(value, key, names) {
  if (Array.isArray(value)) return value.map((item) => normalise(item, key, names));
  if (value && typeof value === 'object') {
    return Object.fromEntries(
      Object.keys(value).sort().map((each) => [each, normalise(value[each], each, names)]),
    );
  }
  if (key === 'duration') return '<seconds>';
  if (typeof value !== 'string') return value;
  if (ULID.test(value)) return names(value, 'id');
  if (TIME.test(value)) return '<time>';
  if (key === 'deviceId' || key === 'fromDevice') return names(value, 'device');
  if (key === 'password' || key === 'credential') return '<password>';
  if (key === 'username') {
    // <unix expiry>:<user>[:<call>]
    const [expiry, user, ...call] = value.split(':');
    assert.match(expiry, /^\d+$/);
    return ['<expiry>', user, ...call.map((id) => names(id, 'id'))].join(':');
  }
  if (/^(stun|turn):/.test(value)) return value.replace(/:\d+(\?|$)/, ':<port>$1');
  return value;
}

/** Formats `{ who, way, event, data }` lines. The first id seen is `<id 1>`, and so on. */
export function format(transcript) {
  const known = new Map();
  const counts = {};
  const names = (value, kind) => {
    if (!known.has(value)) {
      counts[kind] = (counts[kind] ?? 0) + 1;
      known.set(value, `<${kind} ${counts[kind]}>`);
    }
    return known.get(value);
  };
  return transcript.map(({ who, way, event, data }) => {
    const arrow = way === 'C→S' ? `${who} → server` : `server → ${who}`;
    return `${arrow}  ${event}  ${JSON.stringify(normalise(data, '', names))}`;
  });
}

/** Compares with `expected/NAME`; with UPDATE=1 writes it instead. */
export function compare(name, text) {
  const file = path.join(import.meta.dirname, 'expected', name);
  if (process.env.UPDATE) return writeFileSync(file, text);
  assert.ok(existsSync(file), `${file} is missing; UPDATE=1 writes it`);
  assert.equal(text, readFileSync(file, 'utf8'));
}
