/** Before each test file of this folder: waits until the shared platform is ready. */
import { existsSync, readFileSync } from 'node:fs';
import { vi } from 'vitest';
import { platform } from './running-platform.ts';

const { stateDir } = platform();
const [ready, ended] = [`${stateDir}.ready`, `${stateDir}.ended`];
await vi.waitUntil(() => existsSync(ready) || existsSync(ended), { timeout: 90_000, interval: 50 });
if (existsSync(ended)) throw new Error(readFileSync(ended, 'utf8'));
