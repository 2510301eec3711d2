import { resolve } from 'node:path';

/**
 * Where Node.js keeps compiled code, and TypeScript without its types, for processes and threads that are started again
 * and again: the value of their NODE_COMPILE_CACHE. What is not writable is not used.
 */
export const compileCache = resolve(import.meta.dirname, '../../node_modules/.cache/strata');
