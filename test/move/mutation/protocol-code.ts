/**
 * The code that keeps the placement protocol, as it is or with a guard taken out: of a copy of `functions/`, which is
 * imported beside the real one.
 */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const project = join(import.meta.dirname, '../../..');
/** Ignored by git, biome and tsc; inside the project, where packages are found. */
const MUTANTS = join(project, 'test/.mutants');

/** What the scenarios work with. */
export interface ProtocolCode {
  readonly tenancyFunctions: readonly string[];
  readonly claim: typeof import('../../../functions/database/transfer/claim.ts');
  readonly fence: typeof import('../../../functions/database/transfer/fence.ts');
  readonly arrival: typeof import('../../../functions/database/transfer/arrival.ts');
  readonly marker: typeof import('../../../functions/database/transfer/replication/marker.ts');
  readonly prepareReshape: typeof import('../../../functions/move/reshape/prepare-reshape.ts').prepareReshape;
  readonly copyReshape: typeof import('../../../functions/move/reshape/copy-reshape.ts').copyReshape;
  readonly indexReshape: typeof import('../../../functions/move/reshape/index-reshape.ts').indexReshape;
  readonly catchUpReshape: typeof import('../../../functions/move/reshape/catch-up-reshape.ts').catchUpReshape;
  readonly cutOverReshape: typeof import('../../../functions/move/reshape/cut-over-reshape.ts').cutOverReshape;
  readonly rollBackReshape: typeof import('../../../functions/move/reshape/roll-back-reshape.ts').rollBackReshape;
  readonly cutOverRelocate: typeof import('../../../functions/move/relocate/cut-over.ts').cutOverRelocate;
  readonly compareRelocate: typeof import('../../../functions/move/relocate/compare.ts').compareRelocate;
}

/** One change of a source file. `found` stands in it exactly once. */
export interface Edit {
  readonly found: string;
  readonly put: string;
}

export interface Mutation {
  /** For the directory of the copy. */
  readonly name: string;
  /** Under `functions/`. */
  readonly file: string;
  readonly edits: readonly Edit[];
}

export const realCode = () => codeIn(join(project, 'functions'));

/**
 * Runs `work` with a copy of the code in which the edits are made, and removes the copy.
 * @throws where a snippet is not found exactly once: whoever rewrites a guard is told, instead of testing nothing.
 */
export async function withMutant<Result>(
  mutation: Mutation,
  work: (code: ProtocolCode) => Promise<Result>,
): Promise<Result> {
  const copy = join(MUTANTS, `${mutation.name.replaceAll(/[^a-z]+/g, '-')}-${process.pid}`);
  await mkdir(copy, { recursive: true });
  try {
    await cp(join(project, 'functions'), copy, { recursive: true });
    await mutate(join(copy, mutation.file), mutation.edits);
    return await work(await codeIn(copy));
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function mutate(path: string, edits: readonly Edit[]): Promise<void> {
  let source = await readFile(path, 'utf8');
  for (const { found, put } of edits) {
    const parts = source.split(found);
    if (parts.length !== 2)
      throw new Error(`found ${parts.length - 1} times, not once, in ${path}: ${JSON.stringify(found)}`);
    source = parts.join(put);
  }
  await writeFile(path, source);
}

async function codeIn(functions: string): Promise<ProtocolCode> {
  const load = (file: string) => import(/* @vite-ignore */ pathToFileURL(join(functions, file)).href);
  return {
    tenancyFunctions: (await load('database/provisioning/tenancy-functions.ts')).tenancyFunctions,
    claim: await load('database/transfer/claim.ts'),
    fence: await load('database/transfer/fence.ts'),
    arrival: await load('database/transfer/arrival.ts'),
    marker: await load('database/transfer/replication/marker.ts'),
    prepareReshape: (await load('move/reshape/prepare-reshape.ts')).prepareReshape,
    copyReshape: (await load('move/reshape/copy-reshape.ts')).copyReshape,
    indexReshape: (await load('move/reshape/index-reshape.ts')).indexReshape,
    catchUpReshape: (await load('move/reshape/catch-up-reshape.ts')).catchUpReshape,
    cutOverReshape: (await load('move/reshape/cut-over-reshape.ts')).cutOverReshape,
    rollBackReshape: (await load('move/reshape/roll-back-reshape.ts')).rollBackReshape,
    cutOverRelocate: (await load('move/relocate/cut-over.ts')).cutOverRelocate,
    compareRelocate: (await load('move/relocate/compare.ts')).compareRelocate,
  };
}
