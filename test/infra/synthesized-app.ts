import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { App } from 'aws-cdk-lib';
import { afterAll, onTestFinished } from 'vitest';
import { synthesize } from '../../infra/app.ts';
import type { StrataConfig } from '../../infra/config.ts';
import { bundleFunctions, type FunctionBundle } from '../../infra/constructs/function-bundle.ts';
import { validateConfig } from '../../infra/validate-config.ts';

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
  remove(): void;
}

const bundleDirectory = mkdtempSync(join(tmpdir(), 'strata-bundle-'));
let bundle: FunctionBundle | undefined;
afterAll(() => rmSync(bundleDirectory, { recursive: true, force: true }));

/** The sources are the same for all tests of a file. */
function bundledOnce(): FunctionBundle {
  bundle ??= bundleFunctions(resolve(import.meta.dirname, '../..'), bundleDirectory);
  return bundle;
}

/** Synthesizes the app into a directory of its own. */
export async function synthesizeForTest(
  config: StrataConfig,
  options: { validate?: boolean; adjust?: (app: App) => void } = {},
): Promise<Assembly> {
  const outdir = mkdtempSync(join(tmpdir(), 'strata-assembly-'));
  const remove = (): void => rmSync(outdir, { recursive: true, force: true });
  try {
    const directory = await synthesize({
      config: validateConfig(config),
      outdir,
      validate: false,
      bundle: bundledOnce(),
      ...options,
    });
    return readAssembly(directory, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

/** Like `synthesizeForTest`, removed when the running test ends. */
export async function synthesizeForThisTest(
  ...parameters: Parameters<typeof synthesizeForTest>
): Promise<Assembly> {
  const assembly = await synthesizeForTest(...parameters);
  onTestFinished(() => assembly.remove());
  return assembly;
}

function readAssembly(directory: string, remove: () => void): Assembly {
  const readJson = (file: string) => JSON.parse(readFileSync(join(directory, file), 'utf8'));
  const { artifacts } = readJson('manifest.json') as {
    artifacts: Record<string, { type: string; dependencies?: string[] }>;
  };
  const stacks = Object.keys(artifacts).filter(
    (name) => artifacts[name]?.type === 'aws:cloudformation:stack',
  );
  const templates = new Map(stacks.map((name) => [name, readJson(`${name}.template.json`) as Template]));
  const home = stacks.find((name) => name !== 'Strata-ControlPlane') as string;
  const assets = readJson(`${home}.assets.json`) as { files: Record<string, { source: { path: string } }> };
  const dedicatedFile = Object.values(assets.files)
    .map(({ source }) => source.path)
    .find((path) => path.startsWith('asset.') && path.endsWith('.json')) as string;
  const dedicated = readFileSync(join(directory, dedicatedFile));
  return {
    directory,
    remove,
    template: (name) => templates.get(name) as Template,
    dependencies: (name) => artifacts[name]?.dependencies ?? [],
    resources: [...templates].flatMap(([stack, { Resources }]) =>
      Object.entries(Resources).map(([logicalId, resource]) => ({ stack, logicalId, ...resource })),
    ),
    dedicated: { template: JSON.parse(dedicated.toString()), bytes: dedicated.length },
  };
}
