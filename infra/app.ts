import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { App } from 'aws-cdk-lib';
import type { StrataConfig } from './config.ts';
import { bundleMeanwhile, type FunctionBundle } from './constructs/function-bundle.ts';
import { loadConfig } from './load-config.ts';

const PROJECT = resolve(import.meta.dirname, '..');

export interface SynthOptions {
  readonly config: StrataConfig;
  /** Directory of the cloud assembly. */
  readonly outdir: string;
  /** Check the templates with cdk-nag's AwsSolutions rules and CDK's own: a finding that is not acknowledged throws. */
  readonly validate: boolean;
  /** The functions' code; bundled from the sources when absent. */
  readonly bundle?: FunctionBundle;
  /** Changes the app before its synthesis, for tests. */
  readonly adjust?: (app: App) => void;
}

/**
 * Synthesizes all stacks in this process, without CDK's command line, an account or a network.
 * @returns the directory of the cloud assembly.
 * @throws {ConfigError} {@link FunctionBundleError} or, after printing the findings, CDK's ValidationError.
 */
export async function synthesize({
  config,
  outdir,
  validate,
  bundle: bundled,
  adjust,
}: SynthOptions): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), 'strata-synth-'));
  try {
    const bundling = bundled ?? bundleMeanwhile(PROJECT, join(scratch, 'functions'));
    // Loading the CDK takes as long as bundling does.
    const [bundle, { createStrataApp }] = await Promise.all([bundling, import('./stacks/strata-app.ts')]);
    const dedicatedOutdir = join(scratch, 'dedicated');
    const app = await createStrataApp({ config, outdir, dedicatedOutdir, validate, bundle });
    adjust?.(app);
    return app.synth().directory;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  try {
    await synthesize({
      config: loadConfig(),
      outdir: resolve(PROJECT, process.env.CDK_OUTDIR ?? 'cdk.out'),
      validate: process.env.STRATA_NAG !== 'off',
    });
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
