import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { compileCache } from '../../infra/local/index.ts';
import { claimRunDirectory } from '../run-directory.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where the assemblies of `assemblies.ts` appear. */
    assemblies: string;
  }
}

/** Vitest's global setup: synthesizes beside the first tests, which do not wait for it. */
export default async function setup(project: TestProject): Promise<() => void> {
  await claimRunDirectory();
  const directory = mkdtempSync(join(tmpdir(), 'assemblies-'));
  const synthesis = spawn(process.execPath, [join(import.meta.dirname, 'assemblies.ts'), directory], {
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  project.provide('assemblies', directory);
  return () => void synthesis.kill();
}
