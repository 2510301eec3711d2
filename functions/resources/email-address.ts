import * as z from 'zod/mini';

const MAX_LENGTH = 255;

/** True for an address as the HTML standard defines it. It is ASCII only, so its lower case is the same address. */
export function isEmailAddress(text: string): boolean {
  return text.length <= MAX_LENGTH && z.regexes.html5Email.test(text);
}
