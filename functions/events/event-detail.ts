import { EVENT_SCHEMA_VERSION, type EventType, eventDetail, isEventType } from '../contracts/events.ts';
import type { OutboxEvent } from '../registry/event-outbox.ts';

/** So that what the bus takes at once is never exceeded: ten of them have 160 KiB. */
export const MOST_DETAIL_BYTES = 16 * 1024;

/** The `detail` of an event as JSON, or the reason why it cannot be published. */
export type Detail = { readonly detail: string } | { readonly refusal: string };

const schemas = new Map<EventType, ReturnType<typeof eventDetail>>();

/**
 * Builds an event's detail of its row in the outbox. The schema decides: a fact that it does not name is refused, not
 * published, so that nothing reaches subscribers that is not documented.
 */
export function detailOf(event: OutboxEvent, region: string): Detail {
  const { type, eventId, sequence, occurredAt, tenantId, slug, tier } = event;
  if (!isEventType(type)) return { refusal: `there is no event ${type}` };
  const schema = schemas.get(type) ?? eventDetail(type);
  schemas.set(type, schema);
  const common = {
    schemaVersion: EVENT_SCHEMA_VERSION,
    eventId,
    sequence,
    occurredAt,
    region,
    tenantId,
    slug,
    tier,
  };
  const parsed = schema.safeParse({ ...withTimesInUtc(event.facts), ...common });
  if (!parsed.success) {
    // Names of fields only: a value may be what must not leave the registry.
    const fields = parsed.error.issues.map((issue) =>
      issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : issue.path.join('.'),
    );
    return { refusal: `does not fit its schema: ${fields.join(', ')}` };
  }
  const detail = JSON.stringify(parsed.data);
  return Buffer.byteLength(detail) > MOST_DETAIL_BYTES ? { refusal: 'is too large' } : { detail };
}

/** The registry writes a time with the zone of its session. */
function withTimesInUtc(facts: OutboxEvent['facts']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [
      name,
      name.endsWith('At') && typeof value === 'string' ? new Date(value).toISOString() : value,
    ]),
  );
}
