/**
 * The local platform: a synthesized assembly, running on one machine.
 *
 * States: locked → listening (both public ports answer, nothing is deployed) → opened (the assembly is known, and each
 * of its regions has a gateway) → deployed → ready → stopped. Whatever fails on the way stops everything begun so far,
 * in the reverse order, and releases the lock last.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readCloudAssembly } from './assembly/cloud-assembly.ts';
import { CrossRegionReferences } from './assembly/cross-region-references.ts';
import { CustomResources } from './assembly/custom-resources.ts';
import { ignoredResourceFactories, passiveResourceTypes } from './assembly/passive-resource-types.ts';
import { TemplateDeployer } from './assembly/template-deployer.ts';
import { createAwsEndpoint } from './aws/create-aws-endpoint.ts';
import { AssetNotFound, PlatformError, PortBusy, systemCode } from './errors.ts';
import { type HttpApi, httpApiResources } from './gateway/http-api.ts';
import { JwtAuthorizer } from './gateway/jwt-authorizer.ts';
import { RegionalGateways } from './gateway/regional-gateways.ts';
import { type IdentityDocument, LocalIssuer } from './identity/local-issuer.ts';
import { functionResources } from './lambda/function-resources.ts';
import { LambdaFunctions } from './lambda/lambda-functions.ts';
import { LOCAL_ACCOUNT, type Log, type PlatformContext, type ResourceFactory } from './model.ts';
import { dataDirectory } from './postgres/data-directory.ts';
import { localCertificates } from './postgres/local-certificates.ts';
import { PostgresClusters } from './postgres/postgres-clusters.ts';
import { existingClusters, preparePostgresFiles, removeOutsideFiles } from './postgres/postgres-files.ts';
import { stopStaleServer } from './postgres/server-process.ts';
import { localPrincipals } from './principals.ts';
import { acquireInstanceLock } from './state/instance-lock.ts';
import { claimStateDirectory, clearStateDirectory, prepareStateDirectory } from './state/state-directory.ts';
import { stateFile } from './state/state-file.ts';
import { synthesize } from './synthesize.ts';

export interface PlatformOptions {
  /** Directory of cdk.json. */
  projectDir: string;
  stateDir: string;
  apiPort: number;
  awsPort: number;
  /** Factor on Wait states. */
  waitScale: number;
  /** Erase all state first. */
  fresh?: boolean;
  /** An assembly to run as it is, instead of synthesizing one. */
  cdkOut?: string;
  /** Copy the functions' output to stderr. */
  echoFunctionLogs?: boolean;
  /** Ends the start-up; after it, call `stop`. */
  signal?: AbortSignal;
  log: Log;
}

export interface Platform {
  /** Of the home region. */
  apiUrl: string;
  /** By AWS region, home first. */
  apiUrls: ReadonlyMap<string, string>;
  /** AWS region of the app's first stack. */
  homeRegion: string;
  awsUrl: string;
  /** True until a start on this state directory has once become ready. */
  firstStart: boolean;
  context: PlatformContext;
  /** Remembers that this start has become ready, demo data included. */
  markReady(): void;
  /** Stops every child process and releases the lock. Never rejects; calling it twice does it once. */
  stop(): Promise<void>;
}

/**
 * Boots the assembly.
 * @throws {PlatformError} on anything a person can mend, in one line; everything begun has been stopped by then
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  // Functions share this process's time zone, and Lambda's is UTC.
  process.env.TZ = 'UTC';
  const undo: (() => unknown)[] = [];
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= stopAll(undo);
    return stopped;
  };
  const signal = options.signal ?? new AbortController().signal;
  const booting = boot(options, undo, signal);
  try {
    const aborted = new Promise<never>((_resolve, reject) => {
      const refuse = () => reject(new PlatformError('stopped while starting'));
      if (signal.aborted) refuse();
      signal.addEventListener('abort', refuse, { once: true });
    });
    return { ...(await Promise.race([booting, aborted])), stop };
  } catch (cause) {
    await stop();
    // What an aborted boot still finishes after that must not stay either.
    void booting.catch(() => undefined).then(() => stopAll(undo));
    throw cause;
  }
}

async function boot(
  options: PlatformOptions,
  undo: (() => unknown)[],
  signal: AbortSignal,
): Promise<Omit<Platform, 'stop'>> {
  const { apiPort, awsPort, waitScale, log } = options;
  const stateDir = claimStateDirectory(options.stateDir);
  const lock = acquireInstanceLock(stateDir);
  undo.push(() => lock.release());
  if (lock.takenOver) log('the last run was killed; recovering');
  if (options.fresh) await startOver(stateDir);
  prepareStateDirectory(stateDir);
  const state = stateFile(join(stateDir, 'state'));
  const firstStart = !state.load<{ ready?: boolean }>('platform', {}).ready;
  const logsDir = join(stateDir, 'logs');
  const awsUrl = `http://127.0.0.1:${awsPort}`;

  const files = preparePostgresFiles(stateDir);
  const certificates = await localCertificates(join(stateDir, 'tls'));
  const { caCertificate } = certificates;
  const issuer = await LocalIssuer.open(state, awsUrl);
  const clusters = new PostgresClusters(files, certificates, state, log);
  undo.push(() => clusters.stop());
  const functions = new LambdaFunctions({
    logsDir,
    caCertificate,
    echo: options.echoFunctionLogs ?? false,
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
  const awsEndpoint = createAwsEndpoint({ context, before: [issuer.handle] });
  // The last one of a type wins.
  for (const factory of [
    ...ignoredResourceFactories(),
    ...passiveResourceTypes(),
    ...httpApiResources((region) => gateways.urlOf(region)),
    ...issuer.factories(),
    ...functionResources(functions),
    ...crossRegion.factories(),
    customResources,
    ...awsEndpoint.factories,
  ]) {
    factories.set(factory.type, factory);
  }

  undo.push(() => gateways.close());
  await gateways.listen(apiPort);
  await awsEndpoint.listen(awsPort).catch((cause: unknown) => {
    throw systemCode(cause) === 'EADDRINUSE' ? new PortBusy(awsPort, 'AWS_PORT') : cause;
  });
  undo.push(() => awsEndpoint.stop());
  // After the ports that somebody chose.
  await gateways.listenAgain();

  const output = options.cdkOut ?? join(stateDir, 'cdk.out');
  await Promise.all([
    clusters.startKnown(),
    options.cdkOut ??
      synthesize({ projectDir: options.projectDir, output, logFile: join(logsDir, 'synth.log'), signal }),
  ]);
  signal.throwIfAborted();
  const assembly = readCloudAssembly(output);
  context.assets = assembly.assets;
  homeRegion = assembly.homeRegion;
  const regions = new Set([homeRegion, ...assembly.stacks.map(({ region }) => region)]);
  await gateways.open([...regions]);
  for (const { name, region, template } of assembly.stacks) {
    log(`deploying ${name}`);
    const arn = `arn:aws:cloudformation:${region}:${LOCAL_ACCOUNT}:stack/${name}/local`;
    await context.deployer.deploy({ name, arn, region, template, parameters: {} });
    signal.throwIfAborted();
  }
  await awsEndpoint.resume();
  issuer.announce(acceptedIssuers(gateways.serve(context.stacks.values()), gateways.urls));
  return {
    ...{ awsUrl, homeRegion, firstStart, context },
    apiUrl: gateways.urlOf(homeRegion),
    apiUrls: gateways.urls,
    markReady: () => state.save('platform', { ready: true }),
  };
}

/** By URL of the API. */
function acceptedIssuers(
  apis: ReadonlyMap<string, HttpApi[]>,
  urls: ReadonlyMap<string, string>,
): NonNullable<IdentityDocument['issuers']> {
  const issuers: NonNullable<IdentityDocument['issuers']> = {};
  for (const [awsRegion, served] of apis) {
    const routes = served.flatMap((api) => api.routes);
    const accepted = routes.find((route) => route.authorizer)?.authorizer;
    if (!accepted) continue;
    const [clientId = ''] = accepted.audience;
    issuers[urls.get(awsRegion)!] = { issuer: accepted.issuer, clientId, awsRegion };
  }
  return issuers;
}

/** Erases everything an earlier run left, its servers included. */
async function startOver(stateDir: string): Promise<void> {
  const clusters = existingClusters(stateDir);
  if (clusters) {
    const servers = readdirSync(clusters).map((name) => stopStaleServer(dataDirectory(clusters, name).data));
    await Promise.all(servers);
  }
  clearStateDirectory(stateDir);
  removeOutsideFiles(stateDir);
}

/** In reverse order: the gateway takes no more requests before functions, and those before databases, go away. */
async function stopAll(undo: (() => unknown)[]): Promise<void> {
  for (let step = undo.pop(); step; step = undo.pop()) {
    try {
      await step();
    } catch {
      // The next ones must be stopped all the same.
    }
  }
}
