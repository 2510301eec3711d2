import { execFile } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiClient } from '../../infra/cli/api-client.ts';
import { type IdentityDocument, identityDocumentName } from '../../infra/local/identity/local-issuer.ts';
import { signToken } from '../../infra/local/identity/sign-token.ts';
import { type Platform, startPlatform } from '../../infra/local/platform.ts';
import { newDirectory, unusedPorts } from '../local/running-fixture.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const GRANTS = {
  'infra/stacks/region-stack.ts': 'for (const cell of cells) cell.grantStarter(people);',
  'infra/constructs/move-functions.ts': 'secrets.grantReadTenant(prepare, ANY_TENANT);',
};

let directory: string;
let platform: Platform;

/** The project's own CDK code without two lines of it, synthesized and running. */
beforeAll(async () => {
  directory = newDirectory();
  const copy = join(directory, 'project');
  for (const part of ['infra', 'functions', 'workflows', 'package.json', 'cdk.json']) {
    cpSync(join(PROJECT, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'));
  for (const [path, grant] of Object.entries(GRANTS)) {
    const file = join(copy, path);
    const lines = readFileSync(file, 'utf8').split('\n');
    const kept = lines.filter((line) => line.trim() !== grant);
    expect(kept).toHaveLength(lines.length - 1);
    writeFileSync(file, kept.join('\n'));
  }
  const cdkOut = join(directory, 'cdk.out');
  await promisify(execFile)(process.execPath, ['infra/app.ts'], {
    cwd: copy,
    env: { ...process.env, CDK_OUTDIR: cdkOut, STRATA_NAG: 'off' },
  });
  const [apiPort, awsPort] = await unusedPorts();
  platform = await startPlatform({
    ...{ projectDir: copy, stateDir: join(directory, 'state'), apiPort, awsPort, cdkOut },
    waitScale: 0.02,
    log: () => {},
  });
});
afterAll(async () => {
  await platform?.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function client(subject: { email: string; tenantId?: string; role?: string; scope: string }) {
  const identity = platform.context.state.load<IdentityDocument>(identityDocumentName, {});
  return new ApiClient(platform.apiUrl, await signToken(identity as Required<IdentityDocument>, subject));
}

const asOperator = () => client({ email: 'operator@strata.test', scope: 'strata/operator' });

async function onboard(slug: string): Promise<string> {
  const operator = await asOperator();
  const { tenantId } = await operator.post<{ tenantId: string }>('/tenants', {
    ...{ name: slug, slug, adminEmail: `admin@${slug}.test` },
  });
  await expect
    .poll(() => operator.get<{ status: string }>(`/tenants/${slug}`), { timeout: 30_000, interval: 200 })
    .toMatchObject({ status: 'active' });
  return tenantId;
}

test('without its grant line a function is denied the secret, and only that function', async () => {
  const tenantId = await onboard('umbrella');
  const admin = await client({ email: 'admin@umbrella.test', tenantId, role: 'admin', scope: '' });
  await expect(admin.get('/skills')).resolves.toEqual({ items: [], nextCursor: null });
  await expect(admin.get('/employees')).rejects.toMatchObject({ name: 'ApiError', status: 500 });
  // The log is written beside the answer, not before it.
  const log = expect.poll(() => logOf('People'), { timeout: 20_000, interval: 100 });
  await log.toMatch(/AccessDenied.*secretsmanager:GetSecretValue/s);
});

test('a move whose task is denied a secret fails and is rolled back; the tenant stays where it was', async () => {
  const tenantId = await onboard('wonka');
  const operator = await asOperator();
  const { moveId } = await operator.post<{ moveId: string }>('/tenants/wonka/moves', {
    targetTier: 'business',
  });
  const move = () => operator.get<object>(`/tenants/wonka/moves/${moveId}`);
  await expect
    .poll(move, { timeout: 30_000, interval: 200 })
    .toMatchObject({ status: 'failed', phase: 'prepare', reason: 'An internal error stopped the move.' });
  await expect
    .poll(() => logOf('MovesTasksprepare'), { timeout: 20_000, interval: 100 })
    .toMatch(/AccessDenied.*secretsmanager:GetSecretValue/s);
  await expect(operator.get('/tenants/wonka')).resolves.toMatchObject({ isolationModel: 'shared' });
  const admin = await client({ email: 'admin@wonka.test', tenantId, role: 'admin', scope: '' });
  await expect(admin.get('/skills')).resolves.toEqual({ items: [], nextCursor: null });
});

function logOf(functionName: string): string {
  const logs = join(directory, 'state/logs');
  const file = readdirSync(logs).find((name) => name.startsWith(`Strata-us-${functionName}`));
  return file ? readFileSync(join(logs, file), 'utf8') : '';
}
