import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

export type Protocol = typeof import('./protocol.ts');

/** One change of a source file. `found` stands in it exactly once. */
export interface Edit {
  readonly found: string;
  readonly put: string;
}

export interface Mutation {
  /** Under `functions/`. */
  readonly file: string;
  readonly edits: readonly Edit[];
}

const project = join(import.meta.dirname, '../../..');
/** Ignored by git, biome and tsc; inside the project, where packages are found. */
const MUTANTS = join(project, 'test/.mutants');

/**
 * Runs `work` with a bundle of the code in which the edits are made, beside the real one; the bundle goes afterwards.
 * @throws where a snippet is not found exactly once: whoever rewrites a guard is told, instead of testing nothing.
 */
export async function withMutant<Result>(
  mutation: Mutation,
  work: (protocol: Protocol) => Promise<Result>,
): Promise<Result> {
  const outfile = join(MUTANTS, `${randomUUID()}-${process.pid}.mjs`);
  try {
    await build({
      entryPoints: [join(import.meta.dirname, 'protocol.ts')],
      outfile,
      plugins: [editing(mutation)],
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      logLevel: 'silent',
    });
    return await work(await import(/* @vite-ignore */ pathToFileURL(outfile).href));
  } finally {
    await rm(outfile, { force: true });
  }
}

function editing({ file, edits }: Mutation): Plugin {
  const path = join(project, 'functions', file);
  return {
    name: 'take a guard out',
    setup({ onLoad, onEnd }) {
      let edited = false;
      onLoad({ filter: /\.ts$/ }, async (loading) => {
        if (loading.path !== path) return undefined;
        edited = true;
        return { contents: edit(await readFile(path, 'utf8'), edits), loader: 'ts' };
      });
      onEnd(() => {
        if (!edited) throw new Error(`${file} is no part of the protocol`);
      });
    },
  };
}

function edit(source: string, edits: readonly Edit[]): string {
  return edits.reduce((edited, { found, put }) => {
    const parts = edited.split(found);
    if (parts.length !== 2) throw new Error(`found ${parts.length - 1} times, not once: ${found}`);
    return parts.join(put);
  }, source);
}
