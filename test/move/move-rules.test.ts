import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Tier } from '../../functions/contracts/tenant.ts';
import { draftMove } from '../../functions/moves/draft-move.ts';
import { InvalidMoveInput } from '../../functions/moves/errors.ts';
import { findMovingTenant } from '../../functions/moves/move-records.ts';
import { type CountedUsage, complianceForbids, limitsUnder } from '../../functions/moves/move-rules.ts';
import { type MoveTarget, readMoveInput, readMoveRequest } from '../../functions/moves/move-target.ts';
import { requestMove } from '../../functions/moves/request-move.ts';
import { MoveRegistry, operator, STATE_MACHINE } from './move-registry.ts';

let world: MoveRegistry;
beforeAll(async () => {
  world = await MoveRegistry.create();
  await world.addCell('a');
  await world.addCell('b');
  await world.addCell('tiny', { maxBusinessTenants: 1 });
  await world.addCell('closed', { status: 'full' });
  await world.addCell('e1', { region: 'eu', dataResidency: 'eu' });
});
afterAll(() => world?.drop());

async function draft(
  tenantId: string,
  target: MoveTarget,
  options: { force?: boolean; counted?: CountedUsage } = {},
) {
  const { force = false, ...rest } = options;
  return world.registry.transaction(async (transaction) => {
    const tenant = await findMovingTenant(transaction, tenantId, { lock: true });
    const { plan, forbidden } = await draftMove(transaction, tenant!, target, { force, ...rest });
    const spots = plan.map(({ kind, to }) => `${kind} to ${to.isolationModel}@${to.cellId ?? to.region}`);
    return { spots, rules: forbidden.map(({ rule }) => rule) };
  });
}

describe('where a target is', () => {
  test.each<[string, { tier?: Tier; cellId?: string }, MoveTarget, string[]]>([
    ['a tier up keeps the cell', {}, { tier: 'business' }, ['reshape to schema@a']],
    [
      'a tier down keeps the cell',
      { tier: 'business', cellId: 'b' },
      { tier: 'starter' },
      ['reshape to shared@b'],
    ],
    [
      'a tier down keeps a closed cell',
      { tier: 'business', cellId: 'closed' },
      { tier: 'starter' },
      ['reshape to shared@closed'],
    ],
    ['two tiers up', {}, { tier: 'enterprise' }, ['reshape to schema@a', 'relocate to dedicated@us']],
    [
      'a named cell keeps the tier',
      {},
      { cell: 'b' },
      ['reshape to schema@a', 'relocate to schema@b', 'reshape to shared@b'],
    ],
    ['a residency keeps the tier', { tier: 'business' }, { residency: 'eu' }, ['relocate to schema@e1']],
    [
      'a residency of a dedicated database',
      { tier: 'enterprise' },
      { residency: 'eu' },
      ['relocate to dedicated@eu'],
    ],
  ])('%s', async (_, settings, target, spots) => {
    const tenantId = await world.addTenant(settings);
    expect(await draft(tenantId, target)).toEqual({ spots, rules: [] });
  });

  test('a tier up leaves a closed cell for the emptiest one', async () => {
    const tenantId = await world.addTenant({ cellId: 'closed' });
    const { spots, rules } = await draft(tenantId, { tier: 'business' });
    expect(rules).toEqual([]);
    expect(spots[0]).toBe('reshape to schema@closed');
    expect(spots[1]).toMatch(/^relocate to schema@(a|b|tiny)$/);
  });

  test('a tenant that an unfinished move left between two tiers gets what it bought, or the new tier at once', async () => {
    const tenantId = await world.addTenant({ tier: 'business' });
    await world.registry.query(
      "UPDATE tenants SET subscription_tier = 'starter' WHERE tenant_id = :tenantId::uuid",
      {
        tenantId,
      },
    );
    expect(await draft(tenantId, { tier: 'starter' })).toEqual({ spots: ['reshape to shared@a'], rules: [] });
    expect(await draft(tenantId, { tier: 'business' })).toEqual({ spots: [], rules: [] });
  });

  test.each<MoveTarget>([{ cell: 'nowhere' }, { residency: 'mars' }])('unknown: %j', async (target) => {
    const tenantId = await world.addTenant();
    await expect(draft(tenantId, target)).rejects.toThrow(InvalidMoveInput);
  });
});

describe('what forbids a move', () => {
  test('the same place', async () => {
    expect(await draft(await world.addTenant(), { tier: 'starter' })).toEqual({
      spots: [],
      rules: ['nothing-to-move'],
    });
  });

  test.each(['suspended', 'provisioning', 'failed', 'offboarding'])('a tenant that is %s', async (status) => {
    expect((await draft(await world.addTenant({ status }), { tier: 'business' })).rules).toEqual(['status']);
  });

  test('a tenant that is erased, which says so', async () => {
    const tenantId = await world.addTenant({ status: 'offboarded' });
    await world.registry.query('DELETE FROM tenant_database_routing WHERE tenant_id = :tenantId::uuid', {
      tenantId,
    });
    await expect(draft(tenantId, { tier: 'business' })).rejects.toThrow('The tenant is offboarded.');
  });

  test('a cell of another residency, a full one, one that is closed', async () => {
    const tenantId = await world.addTenant();
    expect((await draft(tenantId, { cell: 'e1' })).rules).toEqual(['residency']);
    expect((await draft(tenantId, { cell: 'closed' })).rules).toEqual(['cell']);
    await world.addTenant({ tier: 'business', cellId: 'tiny' });
    expect((await draft(await world.addTenant({ tier: 'business' }), { cell: 'tiny' })).rules).toEqual([
      'cell',
    ]);
    expect((await draft(tenantId, { cell: 'tiny' })).rules).toEqual([]);
    expect((await draft(await world.addTenant({ tier: 'enterprise' }), { cell: 'a' })).rules).toEqual([
      'cell',
    ]);
  });

  test('a cell whose last place is taken by a tenant on its way', async () => {
    await world.addCell('small', { maxBusinessTenants: 1 });
    const [first, second] = [
      await world.addTenant({ tier: 'business' }),
      await world.addTenant({ tier: 'business' }),
    ];
    const start = async () => {};
    await requestMove(
      world.registry,
      { tenantId: first, target: { cell: 'small' }, force: false },
      { actor: operator, startedBy: 'x', stateMachineArn: STATE_MACHINE, start },
    );
    expect((await draft(second, { cell: 'small' })).rules).toEqual(['cell']);
    expect((await draft(first, { cell: 'small' })).rules).toEqual(['moving']);
  });

  test('more people or data than the tier takes, unless forced', async () => {
    const tenantId = await world.addTenant({ tier: 'business' });
    await world.registry.query(
      `INSERT INTO usage_samples (tenant_id, sampled_on, active_users, active_employees, storage_bytes)
       VALUES (:tenantId::uuid, '2026-01-01', 1, 10, 1), (:tenantId::uuid, '2026-01-02', 1, 51, 6000000000)`,
      { tenantId },
    );
    expect((await draft(tenantId, { tier: 'starter' })).rules).toEqual(['users', 'storage']);
    expect((await draft(tenantId, { tier: 'starter' }, { force: true })).rules).toEqual([]);
    // What was counted just now is worth more than a sample.
    expect((await draft(tenantId, { tier: 'starter' }, { counted: { storageBytes: 1000 } })).rules).toEqual([
      'users',
    ]);
    // Its own tier's limits do not keep it from another cell.
    expect((await draft(tenantId, { cell: 'b' })).rules).toEqual([]);
  });

  test('compliance, forced or not', async () => {
    const tenantId = await world.addTenant({ tier: 'business', compliance: ['soc2'] });
    expect((await draft(tenantId, { tier: 'starter' }, { force: true })).rules).toEqual(['compliance']);
    expect((await draft(tenantId, { cell: 'b' })).rules).toEqual([]);
  });
});

test.each([
  [['soc2'], 'schema', 'shared', 1],
  [['soc2', 'gdpr'], 'dedicated', 'shared', 2],
  [['soc2'], 'dedicated', 'schema', 0],
  [['hipaa'], 'dedicated', 'schema', 1],
  [['pci-dss'], 'dedicated', 'schema', 1],
  [['iso27001', 'fedramp'], 'schema', 'shared', 2],
  // Names that every object inherits are no requirements that anything satisfies.
  [['constructor', 'toString', '__proto__'], 'schema', 'shared', 3],
  // It was onboarded weaker than required: up and sideways is no worse.
  [['hipaa'], 'shared', 'schema', 0],
  [['hipaa'], 'schema', 'schema', 0],
  [['hipaa'], 'shared', 'shared', 0],
  [[], 'dedicated', 'shared', 0],
] as const)('compliance %j: from %s to %s breaks %i', (requirements, from, to, broken) => {
  expect(complianceForbids(requirements, from, to)).toHaveLength(broken);
});

test('limits follow the tier, except those that an operator set', () => {
  expect(limitsUnder({ tier: 'starter', maxUsers: 50, maxStorageGb: 7 }, 'business')).toEqual({
    maxUsers: 500,
    maxStorageGb: 7,
  });
  expect(limitsUnder({ tier: 'enterprise', maxUsers: null, maxStorageGb: 1 }, 'starter')).toEqual({
    maxUsers: 50,
    maxStorageGb: 1,
  });
});

describe('what is asked', () => {
  test.each([
    [{}, ''],
    [{ targetTier: 'business', targetCell: 'a' }, ''],
    [{ targetTier: 'gold' }, 'targetTier'],
    [{ targetTier: 'business', force: 'yes' }, 'force'],
    [{ targetTier: 'business', colour: 'red' }, 'colour'],
    [{ targetCell: 'A; DROP' }, 'targetCell'],
    [null, ''],
    ['business', ''],
  ])('is refused: %j', (body, path) => {
    let refused: unknown;
    try {
      readMoveRequest(body);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(InvalidMoveInput);
    expect((refused as InvalidMoveInput).issues[0]?.path).toBe(path);
  });

  test('is the same in a body and in an execution’s input', () => {
    expect(readMoveRequest({ targetTier: 'business', dryRun: true })).toEqual({
      target: { tier: 'business' },
      force: false,
      dryRun: true,
    });
    expect(readMoveInput({ tenantId: 'acme', targetResidency: 'eu', force: true })).toEqual({
      tenant: 'acme',
      target: { residency: 'eu' },
      force: true,
      moveId: undefined,
      startedBy: undefined,
    });
    expect(() => readMoveInput({ tenantId: 'acme', targetTier: 'business', dryRun: true })).toThrow(
      InvalidMoveInput,
    );
  });
});
