/**
 * The default event bus: rules with function targets.
 *
 * States: held → open → closed. Events that come while it is held, before all stacks stand, wait until it opens.
 * A delivery is durable from the moment its event matched a rule until the function has succeeded, was given up on, or
 * may not be invoked: what a stop or a kill interrupts is delivered after the next start. So a target sees an event at
 * least once, as in AWS, and never one that no rule matched.
 */
import { randomUUID } from 'node:crypto';
import { FunctionNotFound, reasonOf } from '../../../errors.ts';
import { lambdaPermissions, mayInvoke } from '../../../lambda/lambda-permission.ts';
import type { PlatformContext } from '../../../model.ts';
import { FIRST_RETRY_PAUSE_MS, Undeliverable, withRetries } from '../delivery-retries.ts';
import type { BusEvent } from './event.ts';
import { matchesPattern } from './event-pattern.ts';
import { type EventRule, payloadOf, type RuleTarget } from './event-rule.ts';

interface Delivery {
  id: string;
  ruleArn: string;
  targetId: string;
  event: BusEvent;
}

const DOCUMENT = 'event-deliveries';
/** Retries of an asynchronous invocation. */
const RETRIES = 2;

export class EventBus {
  readonly #context: PlatformContext;
  readonly #rules = new Map<string, EventRule>();
  readonly #pending: Map<string, Delivery>;
  readonly #stopping = new AbortController();
  #waiting: BusEvent[] = [];
  #state: 'held' | 'open' | 'closed' = 'held';

  constructor(context: PlatformContext) {
    this.#context = context;
    const interrupted = context.state.load<Delivery[]>(DOCUMENT, []);
    this.#pending = new Map(interrupted.map((delivery) => [delivery.id, delivery]));
  }

  /** A rule replaces the one with its ARN. */
  put(rule: EventRule): void {
    this.#rules.set(rule.arn, rule);
  }

  remove(arn: string): void {
    this.#rules.delete(arn);
  }

  /** What matches a rule is durable when this returns, and delivered once the bus is open. */
  publish(event: BusEvent): void {
    if (this.#state === 'held') {
      this.#waiting.push(event);
      return;
    }
    const deliveries = this.#match(event);
    if (deliveries.length === 0) return;
    for (const delivery of deliveries) this.#pending.set(delivery.id, delivery);
    this.#save();
    if (this.#state === 'open') for (const delivery of deliveries) void this.#deliver(delivery);
  }

  /** All rules and functions stand: delivers what waited, and what the last run left. */
  open(): void {
    this.#state = 'open';
    for (const delivery of this.#pending.values()) void this.#deliver(delivery);
    for (const event of this.#waiting) this.publish(event);
    this.#waiting = [];
  }

  /** Ends deliveries. Events are still taken, for the next start. */
  close(): void {
    this.#state = 'closed';
    this.#stopping.abort();
  }

  #match(event: BusEvent): Delivery[] {
    return [...this.#rules.values()]
      .filter((rule) => rule.region === event.region && matchesPattern(rule.pattern, { ...event }))
      .flatMap((rule) =>
        rule.targets.map(({ id }) => ({ id: randomUUID(), ruleArn: rule.arn, targetId: id, event })),
      );
  }

  /** Never rejects. */
  async #deliver(delivery: Delivery): Promise<void> {
    const rule = this.#rules.get(delivery.ruleArn);
    const target = rule?.targets.find(({ id }) => id === delivery.targetId);
    // A rule that is gone since then has no say any more.
    if (rule && target) {
      try {
        await withRetries(() => this.#invoke(rule, target, delivery.event), {
          retries: RETRIES,
          pauseMs: FIRST_RETRY_PAUSE_MS * this.#context.waitScale,
          signal: this.#stopping.signal,
        });
      } catch (cause) {
        if (this.#stopping.signal.aborted) return;
        this.#context.log(`rule ${rule.name}: ${reasonOf(cause)}`);
      }
    }
    if (this.#stopping.signal.aborted) return;
    this.#pending.delete(delivery.id);
    this.#save();
  }

  async #invoke(rule: EventRule, target: RuleTarget, event: BusEvent): Promise<void> {
    const { functionArn } = target;
    const { region } = rule;
    const resources = [...this.#context.stacks.values()]
      .filter((stack) => stack.region === region)
      .flatMap((stack) => [...stack.resources.values()]);
    if (!mayInvoke(lambdaPermissions(resources, 'events.amazonaws.com'), functionArn, rule.arn)) {
      throw new Undeliverable(
        `events.amazonaws.com is not authorized to perform: lambda:InvokeFunction on resource: ${functionArn} because no resource-based policy allows the lambda:InvokeFunction action`,
      );
    }
    try {
      const result = await this.#context.functions.invoke(functionArn, payloadOf(target, event), { region });
      if (!result.functionError) return;
      const { errorType, errorMessage } = result.payload as Record<string, unknown>;
      throw new Error(`${functionArn} failed: ${errorType}: ${errorMessage}`);
    } catch (cause) {
      throw cause instanceof FunctionNotFound ? new Undeliverable(cause.message) : cause;
    }
  }

  #save(): void {
    this.#context.state.save(DOCUMENT, [...this.#pending.values()]);
  }
}
