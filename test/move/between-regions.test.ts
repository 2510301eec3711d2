/** What two registries tell of a tenant that goes from the region of one to that of the other. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { beginMove } from '../../functions/moves/begin-move.ts';
import { endMove } from '../../functions/moves/end-move.ts';
import type { Regions } from '../../functions/moves/hop.ts';
import { openPhase } from '../../functions/moves/hop-context.ts';
import { findMove, hopsOf } from '../../functions/moves/move-records.ts';
import { nextHop } from '../../functions/moves/next-hop.ts';
import { handOver } from '../../functions/moves/other-region/hand-over.ts';
import { followHop } from '../../functions/moves/settle-hop.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { arn, far, MoveRegistry, operator } from './move-registry.ts';

let us: MoveRegistry;
let eu: MoveRegistry;
let fromUs: Regions;
beforeAll(async () => {
  [us, eu] = await Promise.all([MoveRegistry.create(), MoveRegistry.create()]);
  await us.addCell('us-1');
  await eu.addCell('eu-1', { region: 'eu', dataResidency: 'eu' });
  const registries: Record<string, RegistryOverPostgres> = { us: us.registry, eu: eu.registry };
  fromUs = {
    ownKey: 'us',
    keys: ['us', 'eu'],
    awsRegionOf: () => 'eu-west-1',
    of: (key) => registries[key] as never,
  };
});
afterAll(async () => {
  await us?.drop();
  await eu?.drop();
});

interface TenantRow {
  readonly tenant_name: string;
  readonly status: string;
  readonly home_region: string;
  readonly admin_email: string | null;
}

async function rowIn({ registry }: MoveRegistry, tenantId: string): Promise<TenantRow | undefined> {
  const [row] = await registry.query<TenantRow>(
    'SELECT tenant_name, status, home_region, admin_email FROM tenants WHERE tenant_id = :tenantId::uuid',
    { tenantId },
  );
  return row;
}

async function usersIn({ registry }: MoveRegistry, tenantId: string): Promise<string[]> {
  const rows = await registry.query<{ email: string }>(
    'SELECT email FROM tenant_users WHERE tenant_id = :tenantId::uuid ORDER BY email',
    { tenantId },
  );
  return rows.map(({ email }) => email);
}

const addUser = ({ registry }: MoveRegistry, tenantId: string, email: string) =>
  registry.query(
    "INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'admin')",
    { tenantId, email },
  );

/** A Business tenant whose hop over the border is open. */
async function crossing() {
  const tenantId = await us.addTenant({ tier: 'business', cellId: 'us-1' });
  await us.registry.query(
    "UPDATE tenants SET admin_email = 'admin@secret.test' WHERE tenant_id = :tenantId::uuid",
    { tenantId },
  );
  await addUser(us, tenantId, 'a@x.test');
  const probes = { statusOf: async () => 'running' as const, regions: fromUs };
  const input = { tenantId, targetResidency: 'eu' };
  const { moveId } = await beginMove(us.registry, input, arn(`of-${tenantId}`), probes);
  await nextHop(us.registry, moveId, fromUs);
  const step = await openPhase(us.registry, { moveId, hopIndex: 0, phase: 'cut-over' }, far());
  await step.amendTarget({ secretArn: 'arn:aws:secretsmanager:eu-west-1:0:secret:s' });
  return { tenantId, moveId, hop: step.hop };
}

test('a tenant on its way is known where it goes to, and serves there no sooner than it has arrived', async () => {
  const { tenantId, hop } = await crossing();
  expect(hop.target).toMatchObject({ region: 'eu', cellId: 'eu-1', isolationModel: 'schema' });
  expect(await rowIn(eu, tenantId)).toMatchObject({ status: 'arriving', home_region: 'eu' });
  expect(await usersIn(eu, tenantId)).toEqual([]);
  expect(await rowIn(us, tenantId)).toMatchObject({ status: 'active', home_region: 'us' });
});

test('handed over, it is whole there, and here are left its id, its slug and where it is', async () => {
  const { tenantId, moveId, hop } = await crossing();
  await followHop(us.registry, hop, { regions: fromUs });
  expect(await rowIn(eu, tenantId)).toMatchObject({ status: 'active', admin_email: 'admin@secret.test' });
  expect(await usersIn(eu, tenantId)).toEqual(['a@x.test']);
  expect(await rowIn(us, tenantId)).toEqual({
    tenant_name: tenantId,
    status: 'elsewhere',
    home_region: 'eu',
    admin_email: null,
  });
  expect(await usersIn(us, tenantId)).toEqual([]);
  const [route] = await eu.registry.query<{ epoch: number }>(
    'SELECT epoch::int AS epoch FROM tenant_database_routing WHERE tenant_id = :tenantId::uuid',
    { tenantId },
  );
  expect(route?.epoch).toBe(2);
  await us.registry.query("UPDATE tenant_move_hops SET state = 'settled' WHERE move_id = :moveId::uuid", {
    moveId,
  });
  // It has what it bought: nothing is left to do there.
  expect(await endMove(us.registry, moveId)).not.toHaveProperty('followUp');
});

test('killed between the two commits, it is handed over again, and nothing that happened there since is lost', async () => {
  const { tenantId, hop } = await crossing();
  const killed = handOver(us.registry, fromUs, hop, () => Promise.reject(new Error('killed')));
  await expect(killed).rejects.toThrow('killed');
  expect(await rowIn(us, tenantId)).toMatchObject({ status: 'active' });
  expect(await rowIn(eu, tenantId)).toMatchObject({ status: 'active' });
  await addUser(eu, tenantId, 'b@x.test');
  for (let times = 0; times < 2; times++) await followHop(us.registry, hop, { regions: fromUs });
  expect(await usersIn(eu, tenantId)).toEqual(['a@x.test', 'b@x.test']);
  expect(await rowIn(us, tenantId)).toMatchObject({ status: 'elsewhere', home_region: 'eu' });
});

test('a move that ends before the border leaves nothing of the tenant behind it', async () => {
  const { tenantId, moveId } = await crossing();
  // As after the roll back of its databases.
  await us.registry.query("UPDATE tenant_move_hops SET state = 'rolled-back' WHERE move_id = :moveId::uuid", {
    moveId,
  });
  const move = (await findMove(us.registry, moveId))!;
  const end = { status: 'aborted', reason: 'The move was aborted.' } as const;
  await endMove(us.registry, move.moveId, { stopped: end, actor: operator, regions: fromUs });
  expect(await rowIn(eu, tenantId)).toEqual({
    tenant_name: tenantId,
    status: 'elsewhere',
    home_region: 'us',
    admin_email: null,
  });
  expect(await rowIn(us, tenantId)).toMatchObject({ status: 'active', home_region: 'us' });
  expect((await hopsOf(us.registry, moveId)).map(({ state }) => state)).toEqual(['rolled-back']);
});

test('a name that is taken in the other region forbids the move', async () => {
  const taken = await eu.addTenant({ tier: 'business', cellId: 'eu-1', residency: 'eu' });
  const tenantId = await us.addTenant({ tier: 'business', cellId: 'us-1' });
  const name = (await rowIn(eu, taken))!.tenant_name;
  await us.registry.query('UPDATE tenants SET tenant_name = :name WHERE tenant_id = :tenantId::uuid', {
    name,
    tenantId,
  });
  const probes = { statusOf: async () => 'running' as const, regions: fromUs };
  const asked = beginMove(us.registry, { tenantId, targetResidency: 'eu' }, arn(`of-${tenantId}`), probes);
  await expect(asked).rejects.toThrow(/same name/);
});
