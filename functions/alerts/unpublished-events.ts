import { sql } from 'kysely';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { registrySql } from '../registry/registry-sql.ts';
import type { Finding } from './finding.ts';
import type { AlertThresholds } from './thresholds.ts';

/** Events in the details of the alert. */
const NAMED = 5;

interface Unpublished {
  event_id: string;
  event_type: string;
  tenant: string | null;
  reason: string | null;
  is_refused: boolean;
  refused: number;
  held: number;
}

/**
 * Events that nothing publishes by itself: one finding for the registry, because a bus that takes nothing has no tenant.
 * @throws {RegistryError}
 */
export async function judgeEvents(
  registry: RegistryExecutor,
  { eventAttempts }: AlertThresholds,
): Promise<Finding[]> {
  const { rows } = await sql<Unpublished>`
    select o.event_id, o.event_type, o.tenant, o.reason, o.refused_at is not null as is_refused,
           count(*) filter (where o.refused_at is not null) over () as refused,
           count(*) filter (where o.refused_at is null) over () as held
      from event_outbox o
     where o.published_at is null and (o.refused_at is not null or o.attempts >= ${sql.lit(eventAttempts)})
     order by o.position limit ${sql.lit(NAMED)}`.execute(registrySql(registry));
  const [first] = rows;
  if (!first) return [];
  const { refused, held } = first;
  return [
    {
      kind: 'events-unpublished',
      subject: 'events of the registry',
      level: 'raise',
      summary: `${[
        ...(refused > 0
          ? [refused === 1 ? '1 event does not fit its schema' : `${refused} events do not fit their schemas`]
          : []),
        ...(held > 0
          ? [`${held} ${held === 1 ? 'event was' : 'events were'} refused by the bus again and again`]
          : []),
      ].join('; ')}.`,
      details: {
        refused,
        held,
        events: rows.map(({ event_id, event_type, tenant, reason, is_refused }) => ({
          eventId: event_id,
          type: event_type,
          tenantId: tenant,
          reason,
          isRefused: is_refused,
        })),
      },
    },
  ];
}
