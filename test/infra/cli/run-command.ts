import { execFile } from 'node:child_process';
import { join } from 'node:path';

export interface Outcome {
  code: number;
  out: string;
  error: string;
}

const script = join(import.meta.dirname, '..', '..', '..', 'infra', 'cli', 'strata.ts');

/** Runs the command line as npm does; only this environment, the path and compiled code are given to it. */
export function strata(args: string[], environment: Record<string, string>): Promise<Outcome> {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const env = { PATH, NODE_COMPILE_CACHE, HOME: import.meta.dirname, ...environment };
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env }, (failure, out, error) =>
      resolve({ code: failure ? Number(failure.code) : 0, out, error }),
    );
  });
}
