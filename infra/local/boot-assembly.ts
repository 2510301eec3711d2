import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readCloudAssembly } from './assembly/cloud-assembly.ts';
import { CrossRegionReferences } from './assembly/cross-region-references.ts';
import { CustomResources } from './assembly/custom-resources.ts';
import { rememberDatabaseStacks, requireDatabaseStacks } from './assembly/database-stacks.ts';
import { ignoredResourceFactories, passiveResourceTypes } from './assembly/passive-resource-types.ts';
import { TemplateDeployer } from './assembly/template-deployer.ts';
import { createAwsEndpoint } from './aws/create-aws-endpoint.ts';
import { deploymentRequests } from './deployment-requests.ts';
import {
  assemblyStackArn,
  type DeploymentOptions,
  type DeploymentOutcome,
  Deployments,
} from './deployments.ts';
import { AssetNotFound, PortBusy, systemCode } from './errors.ts';
import { type HttpApi, httpApiResources } from './gateway/http-api.ts';
import { JwtAuthorizer } from './gateway/jwt-authorizer.ts';
import { RegionalGateways } from './gateway/regional-gateways.ts';
import { LocalIssuer } from './identity/local-issuer.ts';
import type { IdentityDocument } from './identity/read-identity.ts';
import { functionResources } from './lambda/function-resources.ts';
import { LambdaFunctions } from './lambda/lambda-functions.ts';
import { LOCAL_ACCOUNT, type Log, type PlatformContext, type ResourceFactory } from './model.ts';

import { localCertificates } from './postgres/local-certificates.ts';
import { PostgresClusters } from './postgres/postgres-clusters.ts';
import { preparePostgresFiles } from './postgres/postgres-files.ts';
import { localPrincipals } from './principals.ts';
import type { Progress } from './progress.ts';
import { stateFile } from './state/state-file.ts';
import { LocalCaches } from './valkey/cache-resources.ts';

/**
 * Number of database clusters that a first start prepares before it knows the app. Unused ones go to the first stacks
 * that are created at run time.
 */
const EXPECTED_CLUSTERS = 3;

export interface PlatformOptions {
  /** Directory of cdk.json. */
  projectDir: string;
  stateDir: string;
  apiPort: number;
  awsPort: number;
  /** Factor on Wait states. */
  waitScale: number;
  /** Whether database clusters can be restored to a point in time; off by default. Off erases what was archived. */
  pointInTimeRecovery?: boolean;
  /** Erase all state first. */
  fresh?: boolean;
  /** An existing assembly to run, instead of synthesizing one. */
  cdkOut?: string;
  /** Copy the functions' output to stderr. */
  echoFunctionLogs?: boolean;
  /** Ends the start-up; call `stop` after it. */
  signal?: AbortSignal;
  log: Log;
  /** Shows each phase as it begins; without it, phases are lines of the log. */
  progress?: Progress;
}

export interface Platform {
  /** Of the home region. */
  apiUrl: string;
  /** By AWS region, home first. */
  apiUrls: ReadonlyMap<string, string>;
  /** AWS region of the app's first stack. */
  homeRegion: string;
  awsUrl: string;
  /** True until a start on this state directory has become ready once. */
  firstStart: boolean;
  context: PlatformContext;
  /**
   * Deploys another assembly without stopping: differences are updated, and rolled back when that fails.
   * @param assemblyDirectory functions run from there from now on, so it must stay for as long as the platform runs
   * @throws {PlatformError} when nothing was begun: there is no assembly, or another deployment is running
   */
  deploy(assemblyDirectory: string, options?: DeploymentOptions): Promise<DeploymentOutcome>;
  /** Remembers that this start has become ready, demo data included, and begins to take base backups. */
  markReady(): void;
  /** Stops every child process and releases the lock. Never rejects; a second call has no effect. */
  stop(): Promise<void>;
}

export interface BootOptions extends PlatformOptions {
  /** Claimed, locked and prepared. */
  stateDir: string;
  /** Directory of the assembly, which is whole once `assembled` resolves. */
  output: string;
  assembled: Promise<unknown>;
  /** True while the app is being synthesized. */
  isBeingMade: boolean;
  progress: Progress;
}

/**
 * Runs the assembly in a locked state directory.
 * @param undo receives an undo action for each step; the last one must run first
 */
export async function bootAssembly(
  options: BootOptions,
  undo: (() => unknown)[],
  signal: AbortSignal,
): Promise<Omit<Platform, 'stop'>> {
  const { apiPort, awsPort, waitScale, stateDir, output, progress } = options;
  const { log } = progress;
  const state = stateFile(join(stateDir, 'state'));
  const firstStart = !state.load<{ ready?: boolean }>('platform', {}).ready;
  const logsDir = join(stateDir, 'logs');
  const awsUrl = `http://127.0.0.1:${awsPort}`;

  const files = preparePostgresFiles(stateDir);
  const certificates = await localCertificates(join(stateDir, 'tls'));
  const { caCertificate } = certificates;
  const issuer = await LocalIssuer.open(state, awsUrl);
  const clusters = new PostgresClusters(files, certificates, state, log, {
    archives: options.pointInTimeRecovery ?? false,
  });
  undo.push(() => clusters.stop());
  if (options.isBeingMade && !clusters.hasKnown) clusters.prepare(EXPECTED_CLUSTERS);
  const caches = new LocalCaches(certificates, log);
  undo.push(() => caches.stop());
  const functions = new LambdaFunctions({
    logsDir,
    caCertificate,
    echo: options.echoFunctionLogs ?? false,
    awsPort,
    log,
  });
  undo.push(() => functions.stop());
  const crossRegion = new CrossRegionReferences();
  const customResources = new CustomResources();
  undo.push(() => customResources.stop());

  const authorizer = new JwtAuthorizer((name) => issuer.keySet(name));
  const gateways = new RegionalGateways({ functions, authorizer, state, log });
  const factories = new Map<string, ResourceFactory>();
  let homeRegion: string | undefined;
  const context: PlatformContext = {
    stateDir,
    account: LOCAL_ACCOUNT,
    awsUrl,
    stacks: new Map(),
    clusters,
    functions,
    principals: localPrincipals(state),
    state,
    assets: {
      path() {
        throw new AssetNotFound('the assembly has not been read yet');
      },
    },
    deployer: new TemplateDeployer({
      factory: (type) => factories.get(type) ?? (type.startsWith('Custom::') ? customResources : undefined),
      secretString: (secretId, region) => awsEndpoint.secretString(secretId, region),
      parameter: (name, region) => crossRegion.parameter(name, region),
      homeRegion: () => homeRegion,
      context: () => context,
    }),
    waitScale,
    caCertificate,
    log,
  };
  let deployments: Deployments | undefined;
  const assemblies = join(stateDir, 'deployments');
  // Directories of earlier runs. This run uses the assembly that it was started with, which may be one of those.
  if (!output.startsWith(assemblies)) rmSync(assemblies, { recursive: true, force: true });
  const takesDeployments = deploymentRequests({
    assemblies,
    deploy: () => deployments && ((directory, options) => deployments!.deploy(directory, options)),
  });
  const awsEndpoint = createAwsEndpoint({
    context,
    before: [issuer.handle, takesDeployments],
    userPools: issuer.pools,
  });
  // The last factory of a type wins.
  for (const factory of [
    ...ignoredResourceFactories(),
    ...passiveResourceTypes(),
    ...httpApiResources((region) => gateways.urlOf(region)),
    ...issuer.factories(),
    ...functionResources(functions),
    ...caches.factories(),
    ...crossRegion.factories(),
    customResources,
    ...awsEndpoint.factories,
  ]) {
    factories.set(factory.type, awsEndpoint.permitted(factory));
  }

  undo.push(() => gateways.close());
  await gateways.listen(apiPort);
  await awsEndpoint.listen(awsPort).catch((cause: unknown) => {
    throw systemCode(cause) === 'EADDRINUSE' ? new PortBusy(awsPort, 'AWS_PORT') : cause;
  });
  undo.push(() => awsEndpoint.stop());
  // After the ports in the options.
  await gateways.listenAgain();

  const starting = clusters.startKnown();
  await options.assembled;
  if (clusters.hasKnown) await progress.phase('starting the databases', () => starting);
  signal.throwIfAborted();
  const assembly = readCloudAssembly(output);
  requireDatabaseStacks(state, assembly.stacks);
  // Before they are deployed: a killed start may have registered what it deployed.
  rememberDatabaseStacks(state, assembly.stacks);
  context.assets = assembly.assets;
  homeRegion = assembly.homeRegion;
  const regions = new Set([homeRegion, ...assembly.stacks.map(({ region }) => region)]);
  await gateways.open([...regions]);
  for (const { name, region, template } of assembly.stacks) {
    const arn = assemblyStackArn(name, region);
    const spec = { name, arn, region, template, parameters: {} };
    await progress.phase(`deploying ${name}`, () => context.deployer.deploy(spec));
    signal.throwIfAborted();
  }
  await awsEndpoint.resume();
  const serve = () =>
    issuer.announce(acceptedIssuers(issuer, gateways.serve(context.stacks.values()), gateways.urls));
  serve();
  deployments = new Deployments({
    context,
    deployer: context.deployer,
    regions,
    serve,
    announce: (stack, outcome) => awsEndpoint.stackEnded(stack, outcome),
  });
  return {
    awsUrl,
    homeRegion,
    firstStart,
    context,
    deploy: (directory, deploymentOptions) => deployments.deploy(directory, deploymentOptions),
    apiUrl: gateways.urlOf(homeRegion),
    apiUrls: gateways.urls,
    markReady() {
      state.save('platform', { ready: true });
      clusters.beginUpkeep();
    },
  };
}

/** By URL of the API. */
function acceptedIssuers(
  issuer: LocalIssuer,
  apis: ReadonlyMap<string, HttpApi[]>,
  urls: ReadonlyMap<string, string>,
): NonNullable<IdentityDocument['issuers']> {
  const issuers: NonNullable<IdentityDocument['issuers']> = {};
  for (const [awsRegion, served] of apis) {
    const routes = served.flatMap((api) => api.routes);
    const accepted = routes.find((route) => route.authorizer)?.authorizer;
    if (!accepted) continue;
    const [clientId = ''] = accepted.audience;
    const signInClientId = issuer.signInClientOf(accepted.issuer, accepted.audience);
    issuers[urls.get(awsRegion)!] = {
      issuer: accepted.issuer,
      clientId,
      awsRegion,
      ...(signInClientId && { signInClientId }),
    };
  }
  return issuers;
}
