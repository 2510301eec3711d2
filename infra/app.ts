import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { App, Validations } from 'aws-cdk-lib';
import type { StrataConfig } from './config.ts';
import { bundleFunctions, type FunctionBundle } from './constructs/function-bundle.ts';
import { regionStackName } from './constructs/region-names.ts';
import { loadConfig } from './load-config.ts';
import { ControlPlaneStack } from './stacks/control-plane-stack.ts';
import { DedicatedDatabaseStack } from './stacks/dedicated-database-stack.ts';
import { RegionLinkStack } from './stacks/region-link-stack.ts';
import { RegionStack } from './stacks/region-stack.ts';
import type { SharedSettings } from './stacks/shared-settings.ts';

const PROJECT = resolve(import.meta.dirname, '..');

export interface SynthOptions {
  readonly config: StrataConfig;
  /** Where the cloud assembly goes. */
  readonly outdir: string;
  /** Check the templates with cdk-nag's AwsSolutions rules and CDK's own: what is not acknowledged throws. */
  readonly validate: boolean;
  /** What the functions run; bundled from the sources when absent. */
  readonly bundle?: FunctionBundle;
  /** Changes the app before it is synthesized, for tests. */
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
    const bundle = bundled ?? bundleFunctions(PROJECT, join(scratch, 'functions'));
    const dedicatedTemplateFile = await synthesizeDedicatedTemplate(
      config,
      join(scratch, 'dedicated'),
      validate,
    );
    const app = await createApp(outdir, validate);
    const [home, ...others] = config.regions as [StrataConfig['regions'][0], ...StrataConfig['regions']];
    const shared = { config, bundle };
    const controlPlane = new ControlPlaneStack(app, 'Strata-ControlPlane', home, shared);
    const regional = { ...shared, dedicatedTemplateFile };
    const regions = [
      new RegionStack(app, regionStackName(home.key), { ...regional, region: home, home: controlPlane }),
      ...others.map((region) => new RegionStack(app, regionStackName(region.key), { ...regional, region })),
    ];
    linkRegions(app, regions, shared);
    adjust?.(app);
    return app.synth().directory;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Every two regions, in both directions. */
function linkRegions(app: App, regions: readonly RegionStack[], shared: SharedSettings): void {
  regions.forEach((near, index) => {
    for (const far of regions.slice(index + 1)) {
      const link = (from: RegionStack, to: RegionStack) => `Strata-Link-${from.place.key}-${to.place.key}`;
      const there = new RegionLinkStack(app, link(near, far), { ...shared, near, far });
      new RegionLinkStack(app, link(far, near), { ...shared, near: far, far: near, counterpart: there });
    }
  });
}

/**
 * The run-time template comes first, from an App of its own: the regions carry it as an asset.
 * @returns the template's path.
 */
async function synthesizeDedicatedTemplate(
  config: StrataConfig,
  outdir: string,
  validate: boolean,
): Promise<string> {
  const app = await createApp(outdir, validate);
  const stack = new DedicatedDatabaseStack(app, 'Strata-DedicatedDatabase', config);
  return app.synth().getStackByName(stack.stackName).templateFullPath;
}

async function createApp(outdir: string, validate: boolean): Promise<App> {
  const app = new App({
    outdir,
    context: featureFlags(),
    // CDK's command line sets CDK_OUTDIR, which would make every App synthesize once more at exit.
    autoSynth: false,
    analyticsReporting: false,
    treeMetadata: false,
    // Its engine takes seconds to load, which only a synth that validates should spend.
    builtinCloudFormationValidation: validate,
  });
  if (validate) {
    const { AwsSolutionsChecks } = await import('cdk-nag');
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  }
  return app;
}

/** Feature flags of a new CDK project, with our deviations. */
function featureFlags(): Record<string, unknown> {
  const file = createRequire(import.meta.url).resolve('aws-cdk-lib/recommended-feature-flags.json');
  return {
    ...JSON.parse(readFileSync(file, 'utf8')),
    // An export that a stack imports cannot be removed under it; a weak reference would notice only afterwards.
    '@aws-cdk/core:defaultCrossStackReferences': 'strong',
  };
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
