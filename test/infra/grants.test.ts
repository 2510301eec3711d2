import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiClient } from '../../infra/cli/api-client.ts';
import {
  type IdentityDocument,
  identityDocumentName,
  type Platform,
  signToken,
  startPlatform,
} from '../../infra/local/index.ts';
import { newDirectory, unusedPorts } from '../local/running-fixture.ts';
import { type Resource, sharedAssembly, type Template } from './synthesized-app.ts';

let directory: string;
let platform: Platform;
const log: string[] = [];

/** The project's own assembly, running without two of the secrets that it lets functions read. */
beforeAll(async () => {
  directory = newDirectory();
  const cdkOut = join(directory, 'cdk.out');
  cpSync((await sharedAssembly('local')).directory, cdkOut, { recursive: true });
  takeAway(cdkOut, 'Strata-us-api', 'api/people/handler', /\/starter-/);
  takeAway(cdkOut, 'Strata-us-operations', 'tasks/move-data', /:secret:strata\/tenant\/\*/);
  const [apiPort, awsPort] = await unusedPorts();
  platform = await startPlatform({
    projectDir: directory,
    stateDir: join(directory, 'state'),
    apiPort,
    awsPort,
    cdkOut,
    waitScale: 0.02,
    log: (line) => log.push(line),
  });
});
afterAll(async () => {
  await platform?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Takes the secrets that match out of the statement by which the function may read secrets. */
function takeAway(cdkOut: string, stack: string, entry: string, secret: RegExp): void {
  const file = join(cdkOut, `${stack}.template.json`);
  const template = JSON.parse(readFileSync(file, 'utf8')) as Template;
  const { Resources } = template;
  const resources = Object.entries(Resources);
  const code = resources.find(([, { Properties }]) => Properties?.Handler === `${entry}.handler`)![1];
  const [role] = (code.Properties.Role as { 'Fn::GetAtt': [string] })['Fn::GetAtt'];
  type Statement = { Action: unknown; Resource: unknown[] };
  const statements = resources
    .filter(([, { Type, Properties }]: [string, Resource]) => {
      return Type === 'AWS::IAM::Policy' && JSON.stringify(Properties.Roles).includes(`"${role}"`);
    })
    .flatMap(([, policy]) => (policy.Properties.PolicyDocument as { Statement: Statement[] }).Statement)
    .filter(({ Action }) => JSON.stringify(Action).includes('secretsmanager:GetSecretValue'));
  expect(statements).toHaveLength(1);
  const [statement] = statements as [Statement];
  const kept = statement.Resource.filter((resource) => !secret.test(JSON.stringify(resource)));
  expect(kept.length).toBeLessThan(statement.Resource.length);
  statement.Resource = kept;
  writeFileSync(file, JSON.stringify(template));
}

async function client(subject: { email: string; tenantId?: string; role?: string; scope: string }) {
  const identity = platform.context.state.load<IdentityDocument>(identityDocumentName, {});
  return new ApiClient(platform.apiUrl, await signToken(identity as Required<IdentityDocument>, subject));
}

const asOperator = () => client({ email: 'operator@strata.test', scope: 'strata/operator' });

async function onboard(slug: string): Promise<string> {
  const operator = await asOperator();
  const { tenantId } = await operator.post<{ tenantId: string }>('/tenants', {
    name: slug,
    slug,
    adminEmail: `admin@${slug}.test`,
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
  const log = expect.poll(() => logOf('api-People'), { timeout: 20_000, interval: 100 });
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
    .poll(() => logOf('operations-MovesTasksdata'), { timeout: 20_000, interval: 100 })
    .toMatch(/AccessDenied.*secretsmanager:GetSecretValue/s);
  await expect(operator.get('/tenants/wonka')).resolves.toMatchObject({ isolationModel: 'shared' });
  const admin = await client({ email: 'admin@wonka.test', tenantId, role: 'admin', scope: '' });
  await expect(admin.get('/skills')).resolves.toEqual({ items: [], nextCursor: null });
});

test('without the endpoint of its network a function does not reach the service, and the log names what is missing', async () => {
  const endpoint = [...platform.context.stacks.values()]
    .flatMap(({ resources }) =>
      [...resources.entries()].map(([id, resource]) => ({ resources, id, resource })),
    )
    .find(({ resource }) => String(resource.properties.ServiceName).endsWith('us-east-1.secretsmanager'));
  endpoint!.resources.delete(endpoint!.id);
  const operator = await asOperator();
  const { tenantId } = await operator.get<{ tenantId: string }>('/tenants/umbrella');
  const admin = await client({ email: 'admin@umbrella.test', tenantId, role: 'admin', scope: '' });
  await expect(admin.get('/employees')).rejects.toMatchObject({ name: 'ApiError' });
  expect(log.filter((line) => /^function Strata-us-api-People\S* cannot reach/.test(line))).toEqual([
    expect.stringMatching(
      /secretsmanager: its network has no endpoint com.amazonaws.us-east-1.secretsmanager$/,
    ),
  ]);
});

function logOf(functionName: string): string {
  const logs = join(directory, 'state/logs');
  const file = readdirSync(logs).find((name) => name.startsWith(`Strata-us-${functionName}`));
  return file ? readFileSync(join(logs, file), 'utf8') : '';
}
