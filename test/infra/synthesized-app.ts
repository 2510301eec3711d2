import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { App } from 'aws-cdk-lib';
import { inject, onTestFinished, vi } from 'vitest';
import type { StrataConfig } from '../../infra/config.ts';
import { validateConfig } from '../../infra/validate-config.ts';
import type { Variant } from './assemblies.ts';

export interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, unknown>;
  readonly DependsOn?: string[];
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly Condition?: string;
}

export interface Template {
  readonly Resources: Record<string, Resource>;
  readonly Parameters?: Record<string, { Type: string; Default?: unknown }>;
  readonly Outputs?: Record<string, unknown>;
}

export interface Assembly {
  readonly directory: string;
  /** Template by stack name. */
  template(stackName: string): Template;
  /** Names of the artifacts that are deployed before the stack. */
  dependencies(stackName: string): readonly string[];
  /** Every resource of every stack, with its place for messages. */
  readonly resources: readonly (Resource & { readonly stack: string; readonly logicalId: string })[];
  /** The template that workflows launch at run time, and its size in bytes. */
  readonly dedicated: { readonly template: Template; readonly bytes: number };
}

/** One of the assemblies that all tests share, once it has been synthesized. */
export async function sharedAssembly(variant: Variant): Promise<Assembly> {
  const directory = inject('assemblies');
  const failure = join(directory, 'failed');
  await vi.waitUntil(() => existsSync(join(directory, `${variant}.done`)) || existsSync(failure), {
    timeout: 60_000,
  });
  if (existsSync(failure)) throw new Error(readFileSync(failure, 'utf8'));
  return readAssembly(join(directory, variant));
}

/** The directory with the code of the functions, which all of those assemblies have. */
export async function sharedBundle(): Promise<string> {
  await sharedAssembly('default');
  return join(inject('assemblies'), 'bundle');
}

/** Synthesizes the app and checks its templates, as `npm run synth` does; the assembly goes when the running test ends. */
export async function validateForThisTest(
  config: StrataConfig,
  adjust: (app: App) => void = () => {},
): Promise<Assembly> {
  const outdir = mkdtempSync(join(tmpdir(), 'strata-assembly-'));
  onTestFinished(() => rmSync(outdir, { recursive: true, force: true }));
  const { synthesize } = await import('../../infra/app.ts');
  return readAssembly(await synthesize({ config: validateConfig(config), outdir, validate: true, adjust }));
}

function readAssembly(directory: string): Assembly {
  const readJson = (file: string) => JSON.parse(readFileSync(join(directory, file), 'utf8'));
  const { artifacts } = readJson('manifest.json') as {
    artifacts: Record<string, { type: string; dependencies?: string[] }>;
  };
  const stacks = Object.keys(artifacts).filter(
    (name) => artifacts[name]?.type === 'aws:cloudformation:stack',
  );
  const templates = new Map(stacks.map((name) => [name, readJson(`${name}.template.json`) as Template]));
  const operations = stacks.find((name) => name.endsWith('-operations')) as string;
  const assets = readJson(`${operations}.assets.json`) as {
    files: Record<string, { source: { path: string } }>;
  };
  const dedicatedFile = Object.values(assets.files)
    .map(({ source }) => source.path)
    .find((path) => path.startsWith('asset.') && path.endsWith('.json')) as string;
  const dedicated = readFileSync(join(directory, dedicatedFile));
  return {
    directory,
    template: (name) => templates.get(name) as Template,
    dependencies: (name) => artifacts[name]?.dependencies ?? [],
    resources: [...templates].flatMap(([stack, { Resources }]) =>
      Object.entries(Resources).map(([logicalId, resource]) => ({ stack, logicalId, ...resource })),
    ),
    dedicated: { template: JSON.parse(dedicated.toString()), bytes: dedicated.length },
  };
}
