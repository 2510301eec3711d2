import { randomUUID } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import type { ExecutionStatus } from '../../functions/aws/executions.ts';
import {
  canBeTakenBack,
  endRotation,
  enterPhase,
  findRotation,
  noteStandInSecret,
  SWITCH,
} from '../../functions/credentials/credential-records.ts';
import type { CredentialTarget } from '../../functions/credentials/credential-subject.ts';
import { runDueRotations } from '../../functions/credentials/due-rotations.ts';
import {
  beginRotation,
  requestCredentialRotation,
} from '../../functions/credentials/request-credential-rotation.ts';
import { renewSecret } from '../../functions/credentials/stand-in-credentials.ts';
import { switchSecret } from '../../functions/credentials/switch-secret.ts';
import { planPlace } from '../../functions/places/place.ts';
import { routeNow } from '../../functions/places/starter-login.ts';
import { readSecret } from '../../functions/places/tenant-secret.ts';
import { registerCell } from '../../functions/registry/cells.ts';
import { AlertRuns, overdueAtOnce } from '../alerts/alert-runs.ts';
import { startLocalSecrets } from '../move/local-secrets.ts';
import { ownRegistry } from '../own-registry.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';

const MACHINE = 'arn:aws:states:us-east-1:000000000000:stateMachine:credential-rotation';
const POLICY = { tenantDays: 90, cellDays: 30, ownerDays: 30, registryDays: 30 };
const ACTOR = { id: 'operator', type: 'operator' } as const;

let registry: RegistryOverPostgres;
let master: RegistryOverPostgres;
ownRegistry(async (database) => {
  registry = await database.registry();
  master = await database.registry('master');
});
beforeEach(async () => {
  for (const table of [
    'credential_rotations',
    'tenant_move_hops',
    'tenant_moves',
    'tenant_database_routing',
    'tenants',
    'cells',
  ]) {
    await master.query(`DELETE FROM ${table}`);
  }
});

async function addCell(cellId: string): Promise<string> {
  await registerCell(master, {
    cellId,
    region: 'us',
    dataResidency: 'us',
    databaseHost: `${cellId}.proxy`,
    databasePort: 5432,
    writerHost: `${cellId}.writer`,
    databaseName: 'strata',
    proxyName: cellId,
    clusterArn: `arn:cluster:${cellId}`,
    masterSecretArn: `master-of-${cellId}`,
    ownerSecretArn: `owner-of-${cellId}`,
    starterRoleName: 'strata_starter',
    starterSecretArn: `starter-of-${cellId}`,
    maxBusinessTenants: 190,
  });
  return cellId;
}

/** A tenant, whose place is so many days old. */
async function addTenant(cellId: string, model: 'shared' | 'schema', days = 0): Promise<string> {
  const tenantId = randomUUID();
  const role = model === 'shared' ? 'strata_starter' : `tenant_${tenantId.replaceAll('-', '')}_e1`;
  await master.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, home_region, status)
     VALUES (:tenantId::uuid, :slug, :slug, :model, 'starter', 'us', 'active')`,
    { tenantId, slug: `t-${tenantId}`, model },
  );
  await master.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, isolation_model, cell_id,
                                          role_name, secret_arn, epoch, region, created_at, arrived_at)
     VALUES (:tenantId::uuid, 'h', 5432, 'strata', :model, :cellId, :role, :secret, 1, 'us',
             now() - :days::int * interval '1 day', now() - :days::int * interval '1 day')`,
    {
      tenantId,
      model,
      cellId,
      role,
      days,
      secret: model === 'shared' ? `starter-of-${cellId}` : `secret-of-${tenantId}`,
    },
  );
  return tenantId;
}

interface Started {
  readonly name: string;
  readonly input: object;
}

async function run(status: ExecutionStatus = 'running') {
  const started: Started[] = [];
  const failures: unknown[] = [];
  const done = await runDueRotations(registry, {
    region: 'us',
    policy: POLICY,
    stateMachineArn: MACHINE,
    start: async (name, input) => {
      started.push({ name, input });
    },
    statusOf: async () => status,
    onFailure: (subject, error) => failures.push([subject, error]),
  });
  expect(failures).toEqual([]);
  return { ...done, started };
}

const request = (target: CredentialTarget, start = async () => {}) =>
  requestCredentialRotation(registry, target, {
    actor: ACTOR,
    region: 'us',
    stateMachineArn: MACHINE,
    start,
  });

test('nothing is due while it is young', async () => {
  await addCell('us-1');
  await addTenant('us-1', 'schema', 89);
  expect(await run()).toEqual({ continued: [], begun: [], started: [] });
});

test('what is old is begun once, one of each cell at a time, the oldest first, and not for Starter tenants', async () => {
  await addCell('us-1');
  await addCell('us-2');
  const [old, older] = [await addTenant('us-1', 'schema', 91), await addTenant('us-1', 'schema', 400)];
  const other = await addTenant('us-2', 'schema', 91);
  await addTenant('us-1', 'shared', 400);
  const first = await run();
  expect(first.begun).toEqual([`tenant ${older}`, `tenant ${other}`]);
  expect(first.started.map(({ input }) => Object.keys(input))).toEqual([['rotationId'], ['rotationId']]);
  expect((await run()).begun).toEqual([]);
  await master.query(`UPDATE credential_rotations SET status = 'succeeded', finished_at = now()`);
  expect((await run()).begun).toEqual([`tenant ${old}`]);
  await master.query(`UPDATE credential_rotations SET status = 'succeeded', finished_at = now()`);
  expect((await run()).begun).toEqual([]);
});

test.each(['offboarding', 'offboarded'])('a tenant that is %s is skipped', async (status) => {
  await addCell('us-1');
  const [leaving, staying] = [await addTenant('us-1', 'schema', 400), await addTenant('us-1', 'schema', 100)];
  await master.query('UPDATE tenants SET status = :status WHERE tenant_id = :leaving::uuid', {
    status,
    leaving,
  });
  expect((await run()).begun).toEqual([`tenant ${staying}`]);
  const refused = request({ tenant: leaving, role: 'login' });
  await expect(refused).rejects.toMatchObject({
    name: 'NotRotatable',
    message: expect.stringContaining(status),
  });
});

test('the roles of cells, owners and the registry have ages of their own', async () => {
  await addCell('us-1');
  await master.query(`UPDATE cells SET created_at = now() - interval '31 days'`);
  const begun: string[] = [];
  for (let runs = 0; runs < 4; runs++) {
    begun.push(...(await run()).begun);
    await master.query(
      `UPDATE credential_rotations SET status = 'succeeded', finished_at = now() WHERE status = 'running'`,
    );
  }
  expect(begun.sort()).toEqual(['cell us-1 owner', 'cell us-1 starter', 'registry']);
});

test('one that has failed is tried again after a day', async () => {
  await addCell('us-1');
  const tenantId = await addTenant('us-1', 'schema', 100);
  await run();
  await master.query(`UPDATE credential_rotations SET status = 'failed', finished_at = now()`);
  expect((await run()).begun).toEqual([]);
  await master.query(`UPDATE credential_rotations SET finished_at = now() - interval '25 hours'`);
  expect((await run()).begun).toEqual([`tenant ${tenantId}`]);
});

test('a rotation whose execution is dead goes on under the next attempt, and the former one can do nothing more', async () => {
  await addCell('us-1');
  const id = await request({ tenant: await addTenant('us-1', 'schema'), role: 'login' });
  const { executionArn: former, subject } = (await findRotation(registry, id))!;
  expect((await run('running')).continued).toEqual([]);
  // A moment ago it was recorded, and not started yet.
  expect((await run('none')).continued).toEqual([]);
  const { continued, started } = await run('ended');
  expect(continued).toEqual([subject]);
  expect(started).toEqual([{ name: `credentials-${id}-2`, input: { rotationId: id } }]);
  await expect(enterPhase(registry, id, former!, 'switch')).rejects.toMatchObject({
    name: 'CredentialRotationOvertaken',
  });
  await expect(
    beginRotation(registry, { rotationId: id }, { executionArn: former!, region: 'us' }),
  ).rejects.toMatchObject({ name: 'CredentialRotationOvertaken' });
  const { executionArn } = (await findRotation(registry, id))!;
  expect(
    await beginRotation(registry, { rotationId: id }, { executionArn: executionArn!, region: 'us' }),
  ).toEqual({
    rotationId: id,
    route: 'stand-in',
    isImmediate: false,
  });
});

test('a rotation that takes its time is hastened for a leaked password, once, and while the old one works', async () => {
  await addCell('us-1');
  const target = { tenant: await addTenant('us-1', 'schema'), role: 'login' } as const;
  const id = await request(target);
  const former = (await findRotation(registry, id))!.executionArn!;
  await enterPhase(registry, id, former, SWITCH);
  const started: Started[] = [];
  const now = () =>
    requestCredentialRotation(registry, target, {
      actor: ACTOR,
      region: 'us',
      stateMachineArn: MACHINE,
      isImmediate: true,
      start: async (name, input) => {
        started.push({ name, input });
      },
    });
  expect(await now()).toBe(id);
  expect(started).toEqual([{ name: `credentials-${id}-2`, input: { rotationId: id } }]);
  const { executionArn, isImmediate } = (await findRotation(registry, id))!;
  expect(isImmediate).toBe(true);
  await expect(enterPhase(registry, id, former, 'renew')).rejects.toMatchObject({
    name: 'CredentialRotationOvertaken',
  });
  await expect(now()).rejects.toMatchObject({ name: 'CredentialRotationRunning' });
  const other = { tenant: await addTenant('us-1', 'schema'), role: 'login' } as const;
  const renewed = await request(other);
  await enterPhase(registry, renewed, (await findRotation(registry, renewed))!.executionArn!, 'renew');
  await expect(
    requestCredentialRotation(registry, other, {
      actor: ACTOR,
      region: 'us',
      stateMachineArn: MACHINE,
      isImmediate: true,
      start: async () => {},
    }),
  ).rejects.toMatchObject({ name: 'CredentialRotationRunning' });
  expect(executionArn).toContain(`credentials-${id}-2`);
});

test('once requests have used the stand-in, a rotation cannot be taken back, whichever phase it repeats', async () => {
  await addCell('us-1');
  const tenantId = await addTenant('us-1', 'schema');
  const id = await request({ tenant: tenantId, role: 'login' });
  const arn = (await findRotation(registry, id))!.executionArn!;
  expect(canBeTakenBack(await enterPhase(registry, id, arn, 'verify-stand-in'))).toBe(true);
  expect(canBeTakenBack(await enterPhase(registry, id, arn, SWITCH))).toBe(false);
  expect(canBeTakenBack(await enterPhase(registry, id, arn, 'prepare'))).toBe(false);
});

test('the switch changes the routes of the role’s tenants only, and the switch back leaves newer ones alone', async () => {
  await addCell('us-1');
  await addCell('us-2');
  const [one, two] = [await addTenant('us-1', 'shared'), await addTenant('us-1', 'shared')];
  const [elsewhere, own] = [await addTenant('us-2', 'shared'), await addTenant('us-1', 'schema')];
  const id = await request({ cellId: 'us-1', role: 'starter' });
  const rotation = { ...(await findRotation(registry, id))!, standInSecretArn: 'the-stand-in' };
  const secrets = async () => {
    const rows = await master.query<{ tenant_id: string; secret_arn: string }>(
      'SELECT tenant_id, secret_arn FROM tenant_database_routing',
    );
    return Object.fromEntries(rows.map((row) => [row.tenant_id, row.secret_arn]));
  };
  const before = await secrets();
  expect(await switchSecret(registry, rotation, 'stand-in')).toBe(2);
  expect(await secrets()).toEqual({ ...before, [one]: 'the-stand-in', [two]: 'the-stand-in' });
  expect(await switchSecret(registry, rotation, 'stand-in')).toBe(0);
  expect([before[elsewhere], before[own]]).toEqual(['starter-of-us-2', `secret-of-${own}`]);
  expect(await switchSecret(registry, rotation, 'role')).toBe(2);
  expect(await secrets()).toEqual(before);
});

test('a tenant that moves into the cell meanwhile gets the login of the others, whatever its move has planned', async () => {
  await addCell('us-1');
  await addTenant('us-1', 'shared');
  const plan = (isolationModel: 'shared' | 'schema') =>
    planPlace(registry, {
      tenantId: randomUUID(),
      location: { isolationModel, cellId: 'us-1', region: 'us' },
      epoch: 2,
      suffix: '2a1',
    });
  const [shared, schema] = [await plan('shared'), { ...(await plan('schema')), secretArn: 'own' }];
  const id = await request({ cellId: 'us-1', role: 'starter' });
  await noteStandInSecret(registry, id, 'the-stand-in');
  const rotation = (await findRotation(registry, id))!;
  const secretsOf = async () => [
    (await routeNow(registry, shared)).secret_arn,
    (await routeNow(registry, { ...shared, secretArn: 'the-stand-in' })).secret_arn,
    (await routeNow(registry, schema)).secret_arn,
  ];
  expect(await secretsOf()).toEqual(['starter-of-us-1', 'starter-of-us-1', 'own']);
  await switchSecret(registry, rotation, 'stand-in');
  expect(await secretsOf()).toEqual(['the-stand-in', 'the-stand-in', 'own']);
  await switchSecret(registry, rotation, 'role');
  expect(await secretsOf()).toEqual(['starter-of-us-1', 'starter-of-us-1', 'own']);
});

test('before the role’s secret changes, rows that still name it are switched too: those of a cell’s first tenants', async () => {
  await addCell('us-1');
  const id = await request({ cellId: 'us-1', role: 'starter' });
  const rotation = { ...(await findRotation(registry, id))!, standInSecretArn: 'the-stand-in' };
  expect(await switchSecret(registry, rotation, 'stand-in')).toBe(0);
  await addTenant('us-1', 'shared');
  const secrets = await startLocalSecrets();
  try {
    await secrets.put('starter-of-us-1', { user: 'strata_starter', password: 'old' });
    await renewSecret(registry, rotation);
    expect((await readSecret('starter-of-us-1')).password).not.toBe('old');
  } finally {
    await secrets.stop();
  }
  const [row] = await master.query<{ secret_arn: string }>('SELECT secret_arn FROM tenant_database_routing');
  expect(row).toEqual({ secret_arn: 'the-stand-in' });
  expect(await switchSecret(registry, rotation, 'role')).toBe(1);
});

test('what cannot be rotated is refused, with the reason', async () => {
  await addCell('us-1');
  const starter = await addTenant('us-1', 'shared');
  const business = await addTenant('us-1', 'schema');
  const refusal = (target: CredentialTarget) => request(target).catch((error) => error.name);
  expect(await refusal({ tenant: randomUUID(), role: 'login' })).toBe('InvalidCredentialInput');
  expect(await refusal({ cellId: 'us-9', role: 'owner' })).toBe('InvalidCredentialInput');
  expect(await refusal({ tenant: starter, role: 'login' })).toBe('NotRotatable');
  expect(await refusal({ tenant: business, role: 'owner' })).toBe('NotRotatable');
  await master.query('UPDATE cells SET tenancy_version = 2');
  expect(await refusal({ tenant: business, role: 'login' })).toBe('NotRotatable');
  expect(await refusal({ cellId: 'us-1', role: 'starter' })).toBe('NotRotatable');
  await master.query('UPDATE cells SET tenancy_version = 3');
  await master.query(`UPDATE tenants SET status = 'offboarding' WHERE tenant_id = :business::uuid`, {
    business,
  });
  expect(await refusal({ tenant: business, role: 'login' })).toBe('NotRotatable');
  await master.query(`UPDATE tenants SET status = 'active'`);
  await master.query(
    `INSERT INTO tenant_moves (tenant_id, input, plan, started_by, restore)
     VALUES (:business::uuid, '{}', '[]', 'test', '{"mode": "replace"}')`,
    { business },
  );
  expect(await refusal({ tenant: business, role: 'login' })).toBe('CredentialsInUse');
  expect(await refusal({ cellId: 'us-1', role: 'owner' })).toBe('CredentialsInUse');
  await master.query(`UPDATE tenant_moves SET status = 'succeeded', finished_at = now()`);
  await request({ tenant: business, role: 'login' });
  expect(await refusal({ tenant: business, role: 'login' })).toBe('CredentialRotationRunning');
  // A proxy has room for a few at a time.
  for (let count = 0; count < 3; count++)
    await request({ tenant: await addTenant('us-1', 'schema'), role: 'login' });
  expect(await refusal({ tenant: await addTenant('us-1', 'schema'), role: 'login' })).toBe(
    'CredentialRotationRunning',
  );
  // An owner has no secret at the proxy.
  await request({ cellId: 'us-1', role: 'owner' });
});

test('a start that fails ends the record, and nothing about it is secret', async () => {
  await addCell('us-1');
  const tenantId = await addTenant('us-1', 'schema');
  const failing = request({ tenant: tenantId, role: 'login' }, async () => {
    throw new Error('no Step Functions');
  });
  await expect(failing).rejects.toMatchObject({ name: 'CredentialRotationNotStarted' });
  const rows = await master.query<{ status: string }>('SELECT status, reason FROM credential_rotations');
  expect(rows).toEqual([{ status: 'failed', reason: expect.stringContaining('could not be started') }]);
  const id = await request({ tenant: tenantId, role: 'login' });
  const rotation = (await findRotation(registry, id))!;
  expect(await endRotation(registry, rotation, { status: 'succeeded' }, ACTOR)).toBe(true);
  expect(await endRotation(registry, rotation, { status: 'failed' }, ACTOR)).toBe(false);
});

const failing = async () => {
  throw new Error('no Step Functions');
};

test('alert work-failed: a rotation that cannot be started, until the next one begins', async () => {
  await addCell('us-1');
  const tenantId = await addTenant('us-1', 'schema');
  for (const { about, target } of [
    { about: tenantId, target: { tenant: tenantId, role: 'login' } },
    { about: 'us-1', target: { cellId: 'us-1', role: 'starter' } },
  ] as const) {
    await expect(request(target, failing)).rejects.toMatchObject({ name: 'CredentialRotationNotStarted' });
    const alert = await new AlertRuns(registry).opensOnceAndEnds({
      about,
      kind: 'work-failed',
      end: () => request(target),
    });
    expect(alert.details).toMatchObject({ work: 'credential-rotation', reason: expect.any(String) });
  }
});

test('alert work-overdue: a rotation, until it ends', async () => {
  await addCell('us-1');
  const tenantId = await addTenant('us-1', 'schema');
  const id = await request({ tenant: tenantId, role: 'login' });
  const rotation = (await findRotation(registry, id))!;
  const alert = await new AlertRuns(registry).opensOnceAndEnds({
    about: tenantId,
    kind: 'work-overdue',
    run: overdueAtOnce('credential-rotation'),
    end: () => endRotation(registry, rotation, { status: 'succeeded' }, ACTOR),
  });
  expect(alert.details).toEqual({ work: 'credential-rotation', id });
});
