import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { SFNClient } from '@aws-sdk/client-sfn';
import { OPERATOR_SCOPE, OPERATORS_GROUP, STATE_MACHINES } from '../functions/contracts/names.ts';
import {
  archiveBound,
  type IdentityDocument,
  type Platform,
  Progress,
  startPlatform,
  valkeyProgram,
} from './local/index.ts';

/** `npm start`: the local platform with its demo tenants, until a signal. See README.md for variables and flags. */
const FLAGS = new Set(['--fresh', '--empty']);
const OPERATOR = { email: 'operator@strata.test', scope: OPERATOR_SCOPE };
/** Epoch milliseconds. */
const BEGUN = Date.now();
const stopping = new AbortController();
const progress = new Progress((text) => process.stdout.write(text));
// `npm run synth` checks the templates; a start need not.
process.env.STRATA_NAG ??= 'off';

try {
  const unknown = process.argv.slice(2).find((argument) => !FLAGS.has(argument));
  if (unknown) throw new Error(`unknown argument ${unknown}: npm start takes --fresh and --empty`);
  const starting = startPlatform({
    projectDir: resolve(import.meta.dirname, '..'),
    stateDir: resolve(process.env.STRATA_DIR || '.strata'),
    apiPort: port('API_PORT', 3000),
    awsPort: port('AWS_PORT', 4566),
    waitScale: waitScale(),
    pointInTimeRecovery: pointInTimeRecovery(),
    fresh: process.argv.includes('--fresh'),
    ...(process.env.STRATA_ASSEMBLY && { cdkOut: resolve(process.env.STRATA_ASSEMBLY) }),
    echoFunctionLogs: process.env.LOG === '1',
    signal: stopping.signal,
    log: progress.log,
    progress,
  });
  stopOnSignals(starting);
  const platform = await starting;
  await demo(platform);
  platform.markReady();
  for (const [region, apiUrl] of platform.apiUrls) {
    if (region !== platform.homeRegion) progress.log(`region ${region}  API ${url(apiUrl)}`);
  }
  progress.log(
    pointInTimeRecovery()
      ? `point-in-time recovery on: at most ${archiveBound(0) / 1024 ** 2} MiB a database server, or four times its data; STRATA_PITR=off saves that`
      : 'point-in-time recovery off: STRATA_PITR=on switches it on',
  );
  if (!valkeyProgram()) {
    progress.log(
      'no cache of tenants’ data and no limits of requests: they need valkey-server or redis-server on this machine',
    );
  }
  progress.log(`ready API ${url(platform.apiUrl)}  AWS ${url(platform.awsUrl)}`);
  // A first start creates everything at its newest version.
  if (!platform.firstStart) await followRollouts(platform).catch(tellOfRollouts);
} catch (error) {
  if (!stopping.signal.aborted) {
    // One line for errors that the user can fix; DEBUG=1 shows the stack.
    console.error(process.env.DEBUG ? error : error instanceof Error ? error.message : error);
    process.exit(1);
  }
}

/** The demo's tenants are made once per state directory, and never after a start with `--empty`. */
async function demo(platform: Platform): Promise<void> {
  const marker = join(platform.context.stateDir, 'demo-tenants');
  if (existsSync(marker)) return;
  await createOperator(platform);
  if (!process.argv.includes('--empty')) {
    await progress.phase('creating the demo tenants initech, globex and acme', () => createDemo(platform));
  }
  writeFileSync(marker, '');
}

/**
 * When the state is from an earlier version, the deployment has started schema rollouts: prints the outcome of each in
 * a line. Requests are served meanwhile.
 */
async function followRollouts(platform: Platform): Promise<void> {
  const { followStartedRollouts } = await import('./cli/rollouts/started-rollouts.ts');
  const { ApiClient } = await import('./cli/api-client.ts');
  const { signToken } = await import('./local/index.ts');
  const api = async () =>
    new ApiClient(platform.apiUrl, await signToken(await identityOf(platform), OPERATOR));
  for (const region of platform.apiUrls.keys()) {
    const states = await statesOf(platform, region);
    const stateMachineArn = await stateMachineNamed(states, STATE_MACHINES.rollout);
    if (stateMachineArn) await followStartedRollouts({ states, stateMachineArn, api }, BEGUN, progress.log);
  }
}

/** The platform serves in any case. */
function tellOfRollouts(error: Error): void {
  if (!stopping.signal.aborted) progress.log(`the schema rollout cannot be followed: ${error.message}`);
}

async function identityOf(platform: Platform): Promise<Required<IdentityDocument>> {
  const { identityDocumentName } = await import('./local/index.ts');
  return platform.context.state.load<IdentityDocument>(
    identityDocumentName,
    {},
  ) as Required<IdentityDocument>;
}

/** The first operator, whom an administrator creates on AWS, so that `strata login` works. Safe to repeat. */
async function createOperator(platform: Platform): Promise<void> {
  const { AdminAddUserToGroupCommand, AdminCreateUserCommand, CognitoIdentityProviderClient } = await import(
    '@aws-sdk/client-cognito-identity-provider'
  );
  const { issuer } = await identityOf(platform);
  const operator = { UserPoolId: issuer.slice(issuer.lastIndexOf('/') + 1), Username: OPERATOR.email };
  const pool = new CognitoIdentityProviderClient({
    endpoint: platform.awsUrl,
    region: platform.homeRegion,
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
  });
  const UserAttributes = [
    { Name: 'email', Value: OPERATOR.email },
    { Name: 'email_verified', Value: 'true' },
  ];
  try {
    await pool.send(new AdminCreateUserCommand({ ...operator, UserAttributes }));
  } catch (error) {
    if ((error as Error).name !== 'UsernameExistsException') throw error;
  }
  await pool.send(new AdminAddUserToGroupCommand({ ...operator, GroupName: OPERATORS_GROUP }));
}

/** A token of an administrator. */
async function statesOf(platform: Platform, region: string) {
  const { SFNClient } = await import('@aws-sdk/client-sfn');
  return new SFNClient({
    endpoint: platform.awsUrl,
    region,
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
  });
}

async function stateMachineNamed(states: SFNClient, wanted: string): Promise<string | undefined> {
  const { ListStateMachinesCommand } = await import('@aws-sdk/client-sfn');
  const { stateMachines = [] } = await states.send(new ListStateMachinesCommand({}));
  return stateMachines.find(({ name }) => name === wanted)?.stateMachineArn;
}

async function createDemo(platform: Platform): Promise<void> {
  // Only a first start needs them, and loading them takes a while.
  const { createDemoTenants } = await import('./cli/demo-tenants.ts');
  const { signToken } = await import('./local/index.ts');
  const identity = await identityOf(platform);
  const states = await statesOf(platform, platform.homeRegion);
  await createDemoTenants({
    apiUrl: platform.apiUrl,
    states,
    onboardingArn: (await stateMachineNamed(states, STATE_MACHINES.onboarding)) ?? '',
    operatorToken: () => signToken(identity, OPERATOR),
    userToken: (tenantId, email) => signToken(identity, { tenantId, email, role: 'admin', scope: '' }),
  });
  // The schedule would leave the demo's summaries empty for up to an hour.
  const stateMachineArn = await stateMachineNamed(states, STATE_MACHINES.partitionUpkeep);
  const { StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  if (stateMachineArn)
    await states.send(new StartExecutionCommand({ stateMachineArn, input: '{"work":"summaries"}' }));
}

/** After a second Ctrl-C, the stop that the first one began still completes. */
function stopOnSignals(starting: Promise<Platform>): void {
  const stop = async () => {
    stopping.abort();
    await starting.then((platform) => platform.stop()).catch(() => {});
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop());
  if (process.env.npm_lifecycle_event === 'start') stopWithNpm(stop);
}

/**
 * npm does not pass on every signal. Without its parent process, the platform could be stopped only by its process id.
 */
function stopWithNpm(stop: () => Promise<void>): void {
  const npm = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === npm) return;
    clearInterval(watch);
    void stop();
  }, 500);
  watch.unref();
}

function port(variable: string, fallback: number): number {
  const text = process.env[variable] || String(fallback);
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 65_535)
    throw new Error(`${variable} is "${text}", expected a port`);
  return value;
}

function waitScale(): number {
  const value = Number(process.env.WAIT_SCALE || 0.02);
  if (!(value >= 0 && value <= 1))
    throw new Error(`WAIT_SCALE is "${process.env.WAIT_SCALE}", expected 0 to 1`);
  return value;
}

function pointInTimeRecovery(): boolean {
  const value = process.env.STRATA_PITR || 'on';
  if (value !== 'on' && value !== 'off') throw new Error(`STRATA_PITR is "${value}", expected on or off`);
  return value === 'on';
}

function url(text: string): string {
  return text.replace('127.0.0.1', 'localhost');
}
