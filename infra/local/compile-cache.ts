import { resolve } from 'node:path';

/**
 * Value of NODE_COMPILE_CACHE: the directory where Node.js keeps compiled code, and TypeScript without its types, for
 * repeatedly started processes and threads. A directory that is not writable is not used.
 */
export const compileCache = resolve(import.meta.dirname, '../../node_modules/.cache/strata');
