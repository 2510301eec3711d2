/**
 * Publishes the events of the outbox.
 *
 * Guarantees to subscribers: at least once, because a run that dies between the bus's answer and its record publishes
 * again, with the same `eventId`; and in the order of `sequence` for each tenant as far as the bus is concerned: an event
 * is put after the bus has taken the tenant's earlier ones. (EventBridge itself may deliver in another order: `sequence`
 * shows it.) An event that the bus refuses holds back the tenant's later ones until the next run, and no other tenant's.
 */
import type { EventBus, EventEntry } from '../aws/event-bus.ts';
import { MOST_ENTRIES } from '../aws/event-bus.ts';
import { EVENT_SOURCE, PUBLISHED_EVENT_DAYS } from '../contracts/events.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import {
  deleteOld,
  leaseOutbox,
  type OutboxEvent,
  readOutbox,
  readRefused,
  recordFailure,
  recordFitting,
  recordPublished,
  recordRefusal,
  releaseOutbox,
} from '../registry/event-outbox.ts';
import { detailOf } from './event-detail.ts';

export interface PublishOptions {
  /** Key of the region. */
  readonly region: string;
  /** On `performance.now()`'s clock: nothing is put after it. */
  readonly deadline: number;
}

export interface Published {
  readonly published: number;
  /** The bus did not take them; the next run tries again. */
  readonly failed: number;
  /** They do not fit their schema, and this run is the first that says so. */
  readonly refused: number;
}

/** Rows that are read at once. */
const PAGE = 100;

interface Prepared {
  readonly event: OutboxEvent;
  readonly entry: EventEntry;
}

/**
 * Publishes what waits, if no other run does.
 * @throws EventBridge's or the registry's error; what the bus has taken before is recorded.
 */
export async function publishEvents(
  registry: RegistryExecutor,
  bus: Pick<EventBus, 'put'>,
  { region, deadline }: PublishOptions,
): Promise<Published> {
  let [published, failed, refused] = [0, 0, 0];
  await readmitFitting(registry, region);
  const lease = await leaseOutbox(registry);
  if (lease === undefined) return { published, failed, refused };
  /** Tenants whose later events wait for one that has failed. */
  const held = new Set<string | null>();
  try {
    let after = 0;
    for (;;) {
      const page = await readOutbox(registry, after, PAGE);
      await publishPage(page);
      if (page.length < PAGE || performance.now() >= deadline) break;
      after = page.at(-1)?.position ?? after;
    }
    await deleteOld(registry, PUBLISHED_EVENT_DAYS);
  } finally {
    await releaseOutbox(registry, lease);
  }
  return { published, failed, refused };

  async function publishPage(page: readonly OutboxEvent[]): Promise<void> {
    let waiting: Prepared[] = [];
    for (const event of page) {
      const built = detailOf(event, region);
      if ('detail' in built) waiting.push({ event, entry: entryOf(event, built.detail) });
      else {
        refused += 1;
        await recordRefusal(registry, event.eventId, built.refusal);
      }
    }
    while (performance.now() < deadline) {
      waiting = waiting.filter(({ event }) => !held.has(event.tenantId));
      const batch = firstOfEachTenant(waiting);
      if (batch.length === 0) return;
      waiting = waiting.filter((one) => !batch.includes(one));
      await putBatch(batch);
    }
  }

  async function putBatch(batch: readonly Prepared[]): Promise<void> {
    const reasons = await bus.put(batch.map(({ entry }) => entry));
    const taken = batch.filter((_, index) => reasons[index] === undefined);
    await recordPublished(
      registry,
      taken.map(({ event }) => event.eventId),
    );
    published += taken.length;
    for (const [index, { event }] of batch.entries()) {
      const reason = reasons[index];
      if (reason === undefined) continue;
      failed += 1;
      held.add(event.tenantId);
      await recordFailure(registry, event.eventId, reason);
    }
  }
}

/** Events that were refused by a release that did not have their schema wait again, and are published by this run. */
async function readmitFitting(registry: RegistryExecutor, region: string): Promise<void> {
  let page: OutboxEvent[] = [];
  do {
    page = await readRefused(registry, page.at(-1)?.position ?? 0, PAGE);
    const fitting = page.filter((event) => 'detail' in detailOf(event, region));
    await recordFitting(
      registry,
      fitting.map(({ eventId }) => eventId),
    );
  } while (page.length === PAGE);
}

/** The next batch, with at most one event of each tenant, so that one that fails has overtaken no other. */
function firstOfEachTenant(waiting: readonly Prepared[]): Prepared[] {
  const batch = new Map<string | null, Prepared>();
  for (const one of waiting) {
    if (batch.size === MOST_ENTRIES) break;
    if (!batch.has(one.event.tenantId)) batch.set(one.event.tenantId, one);
  }
  return [...batch.values()];
}

const entryOf = ({ type, occurredAt }: OutboxEvent, detail: string): EventEntry => ({
  source: EVENT_SOURCE,
  type,
  time: occurredAt,
  detail,
});
