/** Publishes the registry's events: by schedule, and when an execution of certain workflows has ended. */
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { EventBus } from '../aws/event-bus.ts';
import { logger } from '../aws/logger.ts';
import { type PublishEventsEnvironment, variable } from '../contracts/environments.ts';
import { EVENT_BACKLOG_METRIC, METRICS_NAMESPACE } from '../contracts/names.ts';
import { EventsRefused } from '../events/errors.ts';
import { publishEvents } from '../events/publish-events.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import { measureBacklog } from '../registry/event-outbox.ts';

/** The function has a minute, and a call of EventBridge takes 30 seconds at most with its attempts. */
const WORK_MS = 25_000;

const registry = registryFromEnvironment();
const bus = new EventBus(variable<PublishEventsEnvironment>('EVENT_BUS_NAME'));
const region = variable<PublishEventsEnvironment>('REGION_KEY');
const metrics = new Metrics({ namespace: METRICS_NAMESPACE });

/** @throws {EventsRefused} an event does not fit its schema: the others were published. */
export async function handler(): Promise<object> {
  try {
    const outcome = await publishEvents(registry, bus, { region, deadline: performance.now() + WORK_MS });
    if (outcome.published > 0) logger.info('events', { ...outcome });
    if (outcome.failed > 0) logger.warn('the bus did not take all events', { ...outcome });
    if (outcome.refused > 0) throw new EventsRefused(outcome.refused);
    return outcome;
  } finally {
    // Also when nothing could be published: this is what the alarm watches.
    const { oldestSeconds } = await measureBacklog(registry);
    metrics.addMetric(EVENT_BACKLOG_METRIC, MetricUnit.Seconds, Math.round(oldestSeconds));
    metrics.publishStoredMetrics();
  }
}
