import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { TENANT_SCHEMA_VERSION } from '../functions/database/tables/schema-version.ts';
import { synthesize } from '../infra/app.ts';
import { bundleFunctions } from '../infra/constructs/function-bundle.ts';
import { validateConfig } from '../infra/validate-config.ts';
import { VARIANTS, type Variant } from './infra/assemblies.ts';

const PROJECT = resolve(import.meta.dirname, '..');

/** Number of the migration that a release here adds. */
export const NEXT_VERSION = TENANT_SCHEMA_VERSION + 1;

export interface NextRelease {
  /** A directory of the caller's, where the release is built. */
  readonly directory: string;
  /** Name of the migration without its number, such as `notes`; `up` is TypeScript. None when absent. */
  readonly migration?: { readonly name: string; readonly up?: string };
  /** Changes files of `functions/`: what a developer would write for the release. */
  readonly edits?: Readonly<Record<string, (source: string) => string>>;
  readonly variant?: Variant;
}

/**
 * Builds another release of the functions: a copy of the tree with one more migration and the change of the definition that
 * goes with it, bundled and synthesized as every release is.
 * @returns the directory of its assembly.
 * @throws where an edit changes nothing, since the test would then try the same release twice.
 */
export async function buildRelease({
  directory,
  migration,
  edits = {},
  variant = 'local',
}: NextRelease): Promise<string> {
  const copy = join(directory, 'tree');
  mkdirSync(copy, { recursive: true });
  cpSync(join(PROJECT, 'functions'), join(copy, 'functions'), { recursive: true });
  symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'));
  const edit = (file: string, change: (source: string) => string) => {
    const path = join(copy, 'functions', file);
    const source = readFileSync(path, 'utf8');
    const changed = change(source);
    if (changed === source) throw new Error(`the release does not change ${file}`);
    writeFileSync(path, changed);
  };
  if (migration) {
    const { name, up = `changesOf(${NEXT_VERSION})` } = migration;
    const number = String(NEXT_VERSION).padStart(4, '0');
    edit('database/tables/tenant-migrations.ts', (source) =>
      source.replace(/^\];$/m, `  { name: '${number}-${name}', up: ${up} },\n];`),
    );
    edit('database/tables/schema-version.ts', (source) =>
      source.replace(/TENANT_SCHEMA_VERSION = \d+/, `TENANT_SCHEMA_VERSION = ${NEXT_VERSION}`),
    );
  }
  for (const [file, change] of Object.entries(edits)) edit(file, change);
  const bundle = bundleFunctions(copy, join(directory, 'bundle'));
  const outdir = join(directory, 'assembly');
  return synthesize({ config: validateConfig(VARIANTS[variant]), outdir, validate: false, bundle });
}

/** An edit: adds a nullable text column of the next version to a table, which must import `text`. */
export function addColumn(table: string, name: string): (source: string) => string {
  return (source) =>
    source.replace(
      new RegExp(`(tenantTable\\(\\s*'${table}',\\s*\\{)`),
      `$1\n    ${name}: text().since(${NEXT_VERSION}),`,
    );
}
