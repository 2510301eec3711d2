import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { App, Validations } from 'aws-cdk-lib';
import type { RegionConfig, StrataConfig } from '../config.ts';
import type { FunctionBundle } from '../constructs/function-bundle.ts';
import { ApiStack } from './api-stack.ts';
import { BackupCopiesStack } from './backup-copies-stack.ts';
import { BackupsStack } from './backups-stack.ts';
import { CellStack } from './cell-stack.ts';
import { type ControlPlane, ControlPlaneStack } from './control-plane-stack.ts';
import { DedicatedDatabaseStack } from './dedicated-database-stack.ts';
import { FleetStack } from './fleet-stack.ts';
import { NetworkStack } from './network-stack.ts';
import { OperationsStack } from './operations-stack.ts';
import { RegionLinkStack } from './region-link-stack.ts';
import { RegionalControlPlaneStack } from './regional-control-plane-stack.ts';
import type { SharedSettings } from './stack-props.ts';

export interface StrataAppOptions {
  readonly config: StrataConfig;
  readonly outdir: string;
  /** Settings of the run-time template's own App. */
  readonly dedicatedOutdir: string;
  readonly validate: boolean;
  readonly bundle: FunctionBundle;
}

/**
 * All stacks of the configuration, in an App that is not synthesized yet.
 * @throws CDK's ValidationError for the run-time template, after printing the findings.
 */
export async function createStrataApp(options: StrataAppOptions): Promise<App> {
  const { config, bundle, validate } = options;
  const dedicatedTemplateFile = await synthesizeDedicatedTemplate(config, options.dedicatedOutdir, validate);
  const app = await createApp(options.outdir, validate);
  const shared = { config, bundle };
  const home = new ControlPlaneStack(app, 'Strata-ControlPlane', config.regions[0] as RegionConfig, shared);
  const networks = config.regions.map((region, index) =>
    createRegion(app, region, { ...shared, dedicatedTemplateFile }, index === 0 ? home : undefined),
  );
  linkRegions(app, networks, shared);
  return app;
}

interface LinkedNetwork {
  readonly network: NetworkStack;
  readonly alarmTopicArn: string;
}

/** The stacks of one region; each refers only to earlier ones. */
function createRegion(
  app: App,
  region: RegionConfig,
  { dedicatedTemplateFile, ...shared }: SharedSettings & { dedicatedTemplateFile: string },
  home: ControlPlane | undefined,
): LinkedNetwork {
  const network = new NetworkStack(app, region, shared);
  const controlPlane = home ?? new RegionalControlPlaneStack(app, region, { ...shared, network });
  const cells = region.cells.map(
    (cell) => new CellStack(app, { ...shared, region, cell, network, controlPlane }),
  );
  const regional = { ...shared, region, network, controlPlane, cells, isHome: home !== undefined };
  const api = new ApiStack(app, regional);
  const backups = new BackupsStack(app, regional);
  const second = shared.config.backups.secondRegions?.[region.key];
  if (second !== undefined) backups.addStackDependency(new BackupCopiesStack(app, region, second, shared));
  const operations = new OperationsStack(app, {
    ...regional,
    apiUrl: api.url,
    dedicatedTemplateFile,
    backups,
  });
  new FleetStack(app, { ...regional, api, backups, operations });
  return { network, alarmTopicArn: controlPlane.alarmTopicArn };
}

/** Every pair of regions, in both directions. */
function linkRegions(app: App, networks: readonly LinkedNetwork[], shared: SharedSettings): void {
  const link = (
    { network: near, alarmTopicArn }: LinkedNetwork,
    { network: far }: LinkedNetwork,
    counterpart?: RegionLinkStack,
  ) =>
    new RegionLinkStack(app, `Strata-Link-${near.place.key}-${far.place.key}`, {
      ...shared,
      near,
      far,
      alarmTopicArn,
      ...(counterpart ? { counterpart } : {}),
    });
  networks.forEach((near, index) => {
    for (const far of networks.slice(index + 1)) link(far, near, link(near, far));
  });
}

/**
 * The run-time template is synthesized first, in an App of its own, because the regions contain it as an asset.
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
    // Loading its engine takes seconds, which only a synth with validation should spend.
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
    // An export that a stack imports cannot be removed; with a weak reference the error would come only later.
    '@aws-cdk/core:defaultCrossStackReferences': 'strong',
  };
}
