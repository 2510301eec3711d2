import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import { bundleFunctions, bundleOptions } from '../../infra/constructs/function-bundle.ts';
import { staticModules } from '../request/static-modules.ts';
import { quantile } from './interleave.ts';

export interface HandlerBundle {
  /** The entry and the chunks it imports statically: what is read and compiled before the first request. */
  readonly bytes: number;
  /** Median over fresh processes, in milliseconds. */
  readonly importMs: number;
}

export interface HandlerBundles {
  readonly ours: HandlerBundle;
  readonly peer: HandlerBundle;
}

const run = promisify(execFile);
/** knex mentions the drivers of every database; only the one in use is bundled. */
const FOREIGN_DRIVERS = [
  'better-sqlite3',
  'mariadb',
  'mysql',
  'mysql2',
  'oracledb',
  'pg-query-stream',
  'sqlite3',
  'tedious',
];

/** The people function as it is deployed, against its peer, bundled alike. */
export async function measureHandlerBundles(quick: boolean): Promise<HandlerBundles> {
  const directory = mkdtempSync(join(tmpdir(), 'strata-bench-bundle-'));
  try {
    bundleFunctions(resolve(import.meta.dirname, '../..'), join(directory, 'ours'));
    buildSync({
      ...bundleOptions,
      external: [...bundleOptions.external, ...FOREIGN_DRIVERS],
      entryPoints: [join(import.meta.dirname, 'peer/handler.ts')],
      outdir: join(directory, 'peer'),
    });
    const entries = {
      ours: join(directory, 'ours/api/people/handler.mjs'),
      peer: join(directory, 'peer/handler.mjs'),
    };
    const times = { ours: [] as number[], peer: [] as number[] };
    // The first round fills the file system's cache and is not counted.
    for (let round = 0; round <= (quick ? 5 : 21); round++) {
      for (const name of round % 2 === 0 ? (['ours', 'peer'] as const) : (['peer', 'ours'] as const)) {
        const elapsed = await importTime(entries[name]);
        if (round > 0) times[name].push(elapsed);
      }
    }
    return {
      ours: { bytes: staticBytes(entries.ours), importMs: quantile(times.ours, 0.5) },
      peer: { bytes: staticBytes(entries.peer), importMs: quantile(times.peer, 0.5) },
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function importTime(module: string): Promise<number> {
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'import-time.ts'), module]);
  return Number(stdout);
}

function staticBytes(entry: string): number {
  return staticModules(entry).reduce((bytes, module) => bytes + statSync(module).size, 0);
}
