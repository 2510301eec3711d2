import { randomUUID } from 'node:crypto';
import { MoveAborted } from '../../functions/moves/errors.ts';
import type { Hop, HopContext } from '../../functions/moves/hop.ts';
import type { Place } from '../../functions/places/place.ts';
import type { RegistryExecutor } from '../../functions/registry/data-api.ts';

/** A place in a cell, or whatever `fields` say. */
export function place(fields: Partial<Place>): Place {
  return {
    isolationModel: 'schema',
    cellId: null,
    region: 'us',
    host: '127.0.0.1',
    port: 5432,
    writerHost: '127.0.0.1',
    readerHost: null,
    clusterArn: null,
    database: 'strata',
    schemaName: 'shared',
    roleName: 'strata_starter',
    secretArn: null,
    ownerSecret: 'owner',
    stackName: null,
    poolSize: 10,
    epoch: 1,
    ...fields,
  };
}

/** A tenant that the registry knows, without users and routing. @returns its id */
export async function addPlainTenant(registry: RegistryExecutor): Promise<string> {
  const tenantId = randomUUID();
  await registry.query(
    `INSERT INTO tenants (tenant_id, tenant_name, tenant_slug, isolation_model, subscription_tier, home_region, status)
     VALUES (:tenantId::uuid, :name, :slug, 'shared', 'starter', 'us', 'active')`,
    { tenantId, name: `Tenant ${tenantId}`, slug: `t-${tenantId}` },
  );
  return tenantId;
}

/** A hop that a test opened: what its steps get, and what the test does to it meanwhile. */
export interface OpenHop {
  /** As the next step sees the hop; its deadline passes after `ms`. */
  context(ms?: number): Promise<HopContext>;
  setState(state: string): Promise<void>;
  abort(): void;
  /** Ends the aborted move, so that the tenant can move again. */
  rollBack(): Promise<void>;
}

/** Writes a move with one hop into the registry. */
export async function openHop(
  registry: RegistryExecutor,
  tenantId: string,
  { source, target, kind = 'relocate' }: { source: Place; target: Place; kind?: Hop['kind'] },
): Promise<OpenHop> {
  const [move] = await registry.query<{ move_id: string }>(
    `INSERT INTO tenant_moves (tenant_id, input, plan, started_by)
     VALUES (:tenantId::uuid, '{}', '[]', 'test') RETURNING move_id::text`,
    { tenantId },
  );
  const moveId = move!.move_id;
  const [hop] = await registry.query<{ attempt_id: string }>(
    `INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix)
     SELECT :moveId::uuid, 0, :tenantId::uuid, :kind, :source::jsonb, :target::jsonb,
            :epoch || 'a' || (1 + count(*)) FROM tenant_move_hops WHERE tenant_id = :tenantId::uuid
     RETURNING attempt_id::text`,
    {
      moveId,
      tenantId,
      kind,
      epoch: String(target.epoch),
      source: JSON.stringify(source),
      target: JSON.stringify(target),
    },
  );
  const setState = async (state: string): Promise<void> => {
    await registry.query('UPDATE tenant_move_hops SET state = :state WHERE move_id = :moveId::uuid', {
      moveId,
      state,
    });
  };
  let aborted = false;
  const planned = {
    moveId,
    index: 0,
    kind,
    source,
    suffix: `${target.epoch}a1`,
    attempt: { tenantId, epoch: source.epoch, attemptId: hop!.attempt_id },
  };
  return {
    async context(ms = 30_000) {
      const [row] = await registry.query<{ target: string }>(
        'SELECT target::text FROM tenant_move_hops WHERE move_id = :moveId::uuid',
        { moveId },
      );
      return {
        hop: { ...planned, target: JSON.parse(row!.target) as Place },
        deadline: performance.now() + ms,
        kept: {},
        async progress() {
          if (aborted) throw new MoveAborted();
        },
        async keep() {},
        async amendTarget(found) {
          await registry.query(
            'UPDATE tenant_move_hops SET target = target || :found::jsonb WHERE move_id = :moveId::uuid',
            { moveId, found: JSON.stringify(found) },
          );
        },
      };
    },
    setState,
    abort() {
      aborted = true;
    },
    async rollBack() {
      await setState('rolled-back');
      await registry.query(
        "UPDATE tenant_moves SET status = 'aborted', finished_at = now() WHERE move_id = :moveId::uuid",
        { moveId },
      );
    },
  };
}
