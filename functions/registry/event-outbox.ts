/**
 * The outbox of events, which triggers fill (migrations/0019-events.ts).
 *
 * States of an event: waiting ──the bus has taken it──▶ published ──the retention is over──▶ (no row)
 *                     waiting ──the bus has refused it──▶ waiting, tried again by the next run
 *                     waiting ──it does not fit its schema──▶ refused ──a later release has the schema──▶ waiting
 *                     refused ──an operator deletes it, or its tenant is erased and the retention is over──▶ (no row)
 * Invariants: one run publishes at a time, by a lease; an event is published only after its row was committed, and is
 * recorded as published only after the bus has taken it. So a run that dies in between publishes it again.
 */
import { randomUUID } from 'node:crypto';
import { type InferResult, sql } from 'kysely';
import type { RegistryExecutor } from './data-api.ts';
import { parseJson, type TimeWithoutZone } from './registry-column.ts';
import { asText, now, rfc3339 } from './registry-expressions.ts';
import { registrySql } from './registry-sql.ts';

/** Longer than a run may take. */
const LEASE = sql<TimeWithoutZone>`now() + interval '90 seconds'`;

export interface OutboxEvent {
  readonly eventId: string;
  readonly position: number;
  readonly type: string;
  readonly tenantId: string | null;
  readonly slug: string | null;
  readonly tier: string | null;
  readonly sequence: number;
  /** RFC 3339, UTC. */
  readonly occurredAt: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface Backlog {
  /** Events that the bus has not taken. */
  readonly waiting: number;
  /** Age of the oldest of them, in seconds; 0 when there is none. */
  readonly oldestSeconds: number;
  /** Events that do not fit their schema. */
  readonly refused: number;
}

/** @returns undefined when no event waits, or when another run has the lease. */
export async function leaseOutbox(registry: RegistryExecutor): Promise<string | undefined> {
  const lease = randomUUID();
  const taken = await registrySql(registry)
    .updateTable('event_publisher')
    .set({ lease, lease_expires_at: LEASE })
    .where((eb) => eb.or([eb('lease', 'is', null), eb('lease_expires_at', '<=', now)]))
    .where((eb) => eb.exists(waitingEvents(registry).select('o.event_id').limit(1)))
    .returning('lease')
    .execute();
  return taken.length > 0 ? lease : undefined;
}

export async function releaseOutbox(registry: RegistryExecutor, lease: string): Promise<void> {
  await registrySql(registry)
    .updateTable('event_publisher')
    .set({ lease: null, lease_expires_at: null })
    .where('lease', '=', lease)
    .execute();
}

/** The next waiting events after that position, oldest first. */
export async function readOutbox(
  registry: RegistryExecutor,
  after: number,
  limit: number,
): Promise<OutboxEvent[]> {
  const rows = await selectEvents(waitingEvents(registry).where('o.position', '>', after))
    .limit(limit)
    .execute();
  return rows.map(toEvent);
}

export async function recordPublished(
  registry: RegistryExecutor,
  eventIds: readonly string[],
): Promise<void> {
  if (eventIds.length === 0) return;
  await registrySql(registry)
    .updateTable('event_outbox')
    .set({ published_at: now, reason: null })
    .where('event_id', 'in', eventIds)
    .execute();
}

/** The bus did not take it; it stays and is tried again. */
export async function recordFailure(
  registry: RegistryExecutor,
  eventId: string,
  reason: string,
): Promise<void> {
  await registrySql(registry)
    .updateTable('event_outbox')
    .set((eb) => ({ attempts: eb('attempts', '+', 1), reason }))
    .where('event_id', '=', eventId)
    .execute();
}

/** It does not fit its schema; it is kept and never published. */
export async function recordRefusal(
  registry: RegistryExecutor,
  eventId: string,
  reason: string,
): Promise<void> {
  await registrySql(registry)
    .updateTable('event_outbox')
    .set({ refused_at: now, reason })
    .where('event_id', '=', eventId)
    .execute();
}

/** The next refused events after that position, oldest first. */
export async function readRefused(
  registry: RegistryExecutor,
  after: number,
  limit: number,
): Promise<OutboxEvent[]> {
  const refused = registrySql(registry)
    .selectFrom('event_outbox as o')
    .where('o.published_at', 'is', null)
    .where('o.refused_at', 'is not', null)
    .where('o.position', '>', after);
  return (await selectEvents(refused).limit(limit).execute()).map(toEvent);
}

/** They fit their schema now, and wait. */
export async function recordFitting(registry: RegistryExecutor, eventIds: readonly string[]): Promise<void> {
  if (eventIds.length === 0) return;
  await registrySql(registry)
    .updateTable('event_outbox')
    .set({ refused_at: null, reason: null })
    .where('event_id', 'in', eventIds)
    .execute();
}

/** Deletes events that were published longer ago, and those of erased tenants that were refused longer ago. */
export async function deleteOld(registry: RegistryExecutor, olderThanDays: number): Promise<void> {
  const before = sql<TimeWithoutZone>`now() - interval '1 day' * ${sql.lit(olderThanDays)}`;
  await registrySql(registry).deleteFrom('event_outbox').where('published_at', '<', before).execute();
  await registrySql(registry)
    .deleteFrom('event_outbox as e')
    .where('e.refused_at', '<', before)
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('tenant_offboardings as o')
          .select('o.offboarding_id')
          .whereRef('o.tenant_id', '=', 'e.tenant')
          .where('o.erasing_since', '<', before),
      ),
    )
    .execute();
}

export async function measureBacklog(registry: RegistryExecutor): Promise<Backlog> {
  const row = await registrySql(registry)
    .selectFrom('event_outbox as o')
    .select((eb) => [
      eb.fn.count<number>('o.event_id').filterWhere('o.refused_at', 'is', null).as('waiting'),
      eb.fn.count<number>('o.event_id').filterWhere('o.refused_at', 'is not', null).as('refused'),
      sql<number | null>`cast(extract(epoch from now() - min(${eb.ref('o.occurred_at')})
        filter (where ${eb.ref('o.refused_at')} is null)) as double precision)`.as('oldest'),
    ])
    .where('o.published_at', 'is', null)
    .executeTakeFirstOrThrow();
  return { waiting: row.waiting, refused: row.refused, oldestSeconds: Math.max(0, row.oldest ?? 0) };
}

type Outbox = ReturnType<typeof waitingEvents>;

const selectEvents = (events: Outbox) =>
  events
    .select(['o.event_id', 'o.position', 'o.event_type', 'o.tenant', 'o.slug', 'o.tier', 'o.sequence'])
    .select((eb) => [
      rfc3339(eb.ref('o.occurred_at'), 'MS').as('occurred_at'),
      asText(eb.ref('o.facts')).as('facts'),
    ])
    .orderBy('o.position');

const toEvent = (row: InferResult<ReturnType<typeof selectEvents>>[number]): OutboxEvent => ({
  eventId: row.event_id,
  position: row.position,
  type: row.event_type,
  tenantId: row.tenant,
  slug: row.slug,
  tier: row.tier,
  sequence: row.sequence,
  occurredAt: row.occurred_at,
  facts: parseJson(row.facts),
});

const waitingEvents = (registry: RegistryExecutor) =>
  registrySql(registry)
    .selectFrom('event_outbox as o')
    .where('o.published_at', 'is', null)
    .where('o.refused_at', 'is', null);
