// Functions of the fixture's state machines; written as a deployed bundle is, in plain JavaScript.

import { appendFileSync } from 'node:fs';

const attempts = new Map();

export async function echo(event) {
  return event;
}

/** Fails with the named error until it was called often enough with this key. */
export async function fail(event) {
  const before = attempts.get(event.key) ?? 0;
  attempts.set(event.key, before + 1);
  if (before >= (event.times ?? Number.POSITIVE_INFINITY)) return { attempts: before + 1 };
  const error = new Error(event.message ?? 'failed on purpose');
  error.name = event.error ?? 'Error';
  throw error;
}

/** Appends what it was given, one JSON line each time, and fails as {@link fail} does when asked to. */
export async function record(event) {
  appendFileSync(process.env.RECORD_FILE, `${JSON.stringify(event)}\n`);
  if (event.error) return fail(event);
  if (event.hangMs) await slow({ ms: event.hangMs });
  return {};
}

/** Answers only after a while. */
export async function slow(event) {
  await new Promise((resolve) => setTimeout(resolve, event.ms ?? 60_000));
  return {};
}
