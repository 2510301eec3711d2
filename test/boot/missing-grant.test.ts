import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ApiError } from '../../infra/cli/api-client.ts';
import { OwnPlatform } from './own-platform.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const GRANT = /^ +secrets\.grantReadTenant\(people, .*\);\n/m;
let platform: OwnPlatform;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'strata-grant-'));
  const project = join(directory, 'project');
  await mkdir(project);
  for (const name of await readdir(PROJECT)) {
    if (['infra', 'functions', 'workflows', 'package.json', 'cdk.json', 'tsconfig.json'].includes(name)) {
      cpSync(join(PROJECT, name), join(project, name), { recursive: true });
    }
  }
  symlinkSync(join(PROJECT, 'node_modules'), join(project, 'node_modules'));
  const stack = join(project, 'infra/stacks/region-stack.ts');
  const code = readFileSync(stack, 'utf8');
  // The one line that lets the people functions read Business and Enterprise tenants' credentials.
  expect(code).toMatch(GRANT);
  writeFileSync(stack, code.replace(GRANT, ''));
  platform = new OwnPlatform(project, directory);
  await platform.start('--empty');
});
afterAll(() => platform.stop());

test('without its grant in the CDK code a function is denied, and only what the grant was for', async () => {
  const input = { name: 'Denied', slug: 'denied', tier: 'business', adminEmail: 'admin@denied.test' };
  const onboarded = await platform.finished(await platform.startOnboarding(input));
  expect(onboarded).toMatchObject({ status: 'SUCCEEDED' });
  const { tenantId } = await (await platform.client()).get<{ tenantId: string }>('/tenants/denied');
  const admin = await platform.client({ tenantId, email: 'admin@denied.test' });

  const refused = await admin.get('/employees').catch((error: unknown) => error);
  expect(refused).toMatchObject({ status: 500, problem: { type: 'urn:strata:problem:internal' } });
  expect(JSON.stringify((refused as ApiError).problem)).not.toMatch(/AccessDenied|arn:|secret/i);
  const logs = await readdir(join(platform.stateDir, 'logs'));
  const people = logs.find((name) => name.includes('People')) as string;
  expect(readFileSync(join(platform.stateDir, 'logs', people), 'utf8')).toMatch(
    /AccessDeniedException.*secretsmanager:GetSecretValue/,
  );
  // The skills functions kept theirs.
  expect(await admin.get('/skills')).toEqual({ items: [], nextCursor: null });
});
