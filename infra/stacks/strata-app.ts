import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { App, Validations } from 'aws-cdk-lib';
import type { StrataConfig } from '../config.ts';
import type { FunctionBundle } from '../constructs/function-bundle.ts';
import { regionStackName } from '../constructs/region-names.ts';
import { ControlPlaneStack } from './control-plane-stack.ts';
import { DedicatedDatabaseStack } from './dedicated-database-stack.ts';
import { RegionLinkStack } from './region-link-stack.ts';
import { RegionStack } from './region-stack.ts';
import type { SharedSettings } from './shared-settings.ts';

export interface StrataAppOptions {
  readonly config: StrataConfig;
  readonly outdir: string;
  /** For the run-time template's own App. */
  readonly dedicatedOutdir: string;
  readonly validate: boolean;
  readonly bundle: FunctionBundle;
}

/**
 * All stacks of the configuration, in an App that is yet to be synthesized.
 * @throws after printing the findings, CDK's ValidationError for the run-time template.
 */
export async function createStrataApp(options: StrataAppOptions): Promise<App> {
  const { config, bundle, validate } = options;
  const dedicatedTemplateFile = await synthesizeDedicatedTemplate(config, options.dedicatedOutdir, validate);
  const app = await createApp(options.outdir, validate);
  const [home, ...others] = config.regions as [StrataConfig['regions'][0], ...StrataConfig['regions']];
  const shared = { config, bundle };
  const controlPlane = new ControlPlaneStack(app, 'Strata-ControlPlane', home, shared);
  const regional = { ...shared, dedicatedTemplateFile };
  const regions = [
    new RegionStack(app, regionStackName(home.key), { ...regional, region: home, home: controlPlane }),
    ...others.map((region) => new RegionStack(app, regionStackName(region.key), { ...regional, region })),
  ];
  linkRegions(app, regions, shared);
  return app;
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
