/**
 * The event buses of all regions: rules and their targets. Every region has the default bus, which gets the events of
 * AWS's services; others are made by templates and get what clients put.
 *
 * States: held → open → closed. Events that arrive while it is held, before all stacks are deployed, wait until it
 * opens. A delivery is durable from the moment when its event matched a rule until the target has succeeded, all
 * attempts have failed, or the target may not be invoked. A delivery that a stop or a kill interrupts is repeated after
 * the next start. So a target gets an event at least once, as in AWS, and only events that a rule matched.
 */
import { randomUUID } from 'node:crypto';
import { reasonOf } from '../../../errors.ts';
import type { PlatformContext } from '../../../model.ts';
import { ASYNCHRONOUS_RETRIES, type Targets, withRetries } from '../../targets.ts';
import { matchesPattern } from './event-pattern.ts';
import { type BusEvent, DEFAULT_BUS, type EventRule, payloadOf, type RuleTarget } from './event-rule.ts';

interface Delivery {
  id: string;
  ruleArn: string;
  targetId: string;
  event: BusEvent;
}

const DOCUMENT = 'event-deliveries';
const RULES_DOCUMENT = 'event-rules';

export class EventBus {
  readonly #context: PlatformContext;
  readonly #targets: Targets;
  readonly #rules = new Map<string, EventRule>();
  readonly #pending: Map<string, Delivery>;
  readonly #stopping = new AbortController();
  /** Names of the buses that templates make, by region. */
  readonly #buses = new Set<string>();
  #waiting: { bus: string; event: BusEvent }[] = [];
  #state: 'held' | 'open' | 'closed' = 'held';

  constructor(context: PlatformContext, targets: Targets) {
    this.#context = context;
    this.#targets = targets;
    const interrupted = context.state.load<Delivery[]>(DOCUMENT, []);
    this.#pending = new Map(interrupted.map((delivery) => [delivery.id, delivery]));
    for (const rule of context.state.load<EventRule[]>(RULES_DOCUMENT, [])) this.#rules.set(rule.arn, rule);
  }

  addBus(region: string, name: string): void {
    this.#buses.add(`${region} ${name}`);
  }

  removeBus(region: string, name: string): void {
    this.#buses.delete(`${region} ${name}`);
  }

  hasBus(region: string, name: string): boolean {
    return name === DEFAULT_BUS || this.#buses.has(`${region} ${name}`);
  }

  /** Sorted; the default one is among them. */
  busesOf(region: string): string[] {
    const made = [...this.#buses].filter((one) => one.startsWith(`${region} `));
    return [DEFAULT_BUS, ...made.map((one) => one.slice(region.length + 1))].sort();
  }

  rule(arn: string): EventRule | undefined {
    return this.#rules.get(arn);
  }

  /** By name. */
  rulesOf(region: string, bus: string): EventRule[] {
    return [...this.#rules.values()]
      .filter((rule) => rule.region === region && rule.bus === bus)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** A rule replaces the one with the same ARN. One of a client is durable when this returns. */
  put(rule: EventRule): void {
    this.#rules.set(rule.arn, rule);
    if (rule.atRunTime) this.#saveRules();
  }

  remove(arn: string): void {
    const rule = this.#rules.get(arn);
    this.#rules.delete(arn);
    if (rule?.atRunTime) this.#saveRules();
  }

  /** Matching events are durable when this returns, and are delivered when the bus is open. */
  publish(event: BusEvent, bus: string = DEFAULT_BUS): void {
    if (this.#state === 'held') {
      this.#waiting.push({ bus, event });
      return;
    }
    const deliveries = this.#match(event, bus);
    if (deliveries.length === 0) return;
    for (const delivery of deliveries) this.#pending.set(delivery.id, delivery);
    this.#save();
    if (this.#state === 'open') for (const delivery of deliveries) void this.#deliver(delivery);
  }

  /** Called when all rules and functions exist: delivers waiting events, and those that the last run left. */
  open(): void {
    this.#state = 'open';
    for (const delivery of this.#pending.values()) void this.#deliver(delivery);
    for (const { event, bus } of this.#waiting) this.publish(event, bus);
    this.#waiting = [];
  }

  /** Ends deliveries. Events are still stored, for the next start. */
  close(): void {
    this.#state = 'closed';
    this.#stopping.abort();
  }

  #match(event: BusEvent, bus: string): Delivery[] {
    return this.rulesOf(event.region, bus)
      .filter(({ enabled, pattern }) => enabled && matchesPattern(pattern, { ...event }))
      .flatMap((rule) =>
        rule.targets.map(({ id }) => ({ id: randomUUID(), ruleArn: rule.arn, targetId: id, event })),
      );
  }

  /** Never rejects. */
  async #deliver(delivery: Delivery): Promise<void> {
    const rule = this.#rules.get(delivery.ruleArn);
    const target = rule?.targets.find(({ id }) => id === delivery.targetId);
    // Skip the delivery of a rule that was removed meanwhile.
    if (rule && target) {
      try {
        await withRetries(() => this.#invoke(rule, target, delivery.event), {
          retries: ASYNCHRONOUS_RETRIES,
          waitScale: this.#context.waitScale,
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
    const { arn: targetArn, roleArn } = target;
    await this.#targets.invoke({
      targetArn,
      region: rule.region,
      // Functions, topics and queues are invoked by their own policies, whatever role the target has.
      invoker: targetArn.startsWith('arn:aws:states:')
        ? { kind: 'role', roleArn: roleArn!, sessionName: rule.name }
        : { kind: 'service', service: 'events.amazonaws.com', sourceArn: rule.arn },
      payload: JSON.stringify(payloadOf(target, event)),
    });
  }

  #saveRules(): void {
    const made = [...this.#rules.values()].filter(({ atRunTime }) => atRunTime);
    this.#context.state.save(RULES_DOCUMENT, made);
  }

  #save(): void {
    this.#context.state.save(DOCUMENT, [...this.#pending.values()]);
  }
}
