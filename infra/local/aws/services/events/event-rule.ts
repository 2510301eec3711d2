import type { Properties } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import { checkTarget } from '../../targets.ts';
import { type EventPattern, parsePattern } from './event-pattern.ts';

/** An event as a target receives it from EventBridge. */
export interface BusEvent {
  version: '0';
  id: string;
  'detail-type': string;
  source: string;
  account: string;
  /** ISO 8601, to the second. */
  time: string;
  region: string;
  resources: string[];
  detail: Record<string, unknown>;
}

export interface EventRule {
  arn: string;
  name: string;
  region: string;
  pattern: EventPattern;
  targets: RuleTarget[];
}

export interface RuleTarget {
  id: string;
  arn: string;
  /** Required of state machines. */
  roleArn?: string;
  /** Replaces the event: JSON, already parsed. */
  input?: unknown;
  /** The part of the event to send, such as `$.detail`. */
  inputPath?: string;
}

/**
 * Reads an `AWS::Events::Rule` of the default bus.
 * @returns undefined for a rule that never matches here: disabled, or of another bus
 * @throws {ResourceFailure} for what is not supported here
 */
export function readRule(
  arn: string,
  region: string,
  name: string,
  properties: Properties,
): EventRule | undefined {
  if (properties.ScheduleExpression !== undefined) {
    throw new ResourceFailure('rules with a schedule are not run locally: use AWS::Scheduler::Schedule');
  }
  const pattern = parsePattern(properties.EventPattern);
  const targets = ((properties.Targets ?? []) as Record<string, unknown>[]).map(readTarget);
  const enabled = properties.State !== 'DISABLED';
  const onDefaultBus = (properties.EventBusName ?? 'default') === 'default';
  return enabled && onDefaultBus ? { arn, name, region, pattern, targets } : undefined;
}

/** The target's input when the rule replaces the event. */
export function payloadOf(target: RuleTarget, event: BusEvent): unknown {
  if (target.input !== undefined) return target.input;
  if (target.inputPath === undefined) return event;
  let value: unknown = event;
  for (const key of target.inputPath.split('.').slice(1)) {
    value = (value as Record<string, unknown> | null | undefined)?.[key];
  }
  return value ?? null;
}

function readTarget(target: Record<string, unknown>): RuleTarget {
  const arn = String(target.Arn);
  checkTarget(arn, 'rules');
  const roleArn = target.RoleArn as string | undefined;
  if (arn.startsWith('arn:aws:states:') && roleArn === undefined) {
    throw new ResourceFailure(`a rule needs a role to start ${arn}`);
  }
  if (target.InputTransformer !== undefined) {
    throw new ResourceFailure('input transformers are not understood locally: use Input or InputPath');
  }
  const { InputPath: inputPath, Input: input } = target as { InputPath?: string; Input?: string };
  if (inputPath !== undefined && !/^\$(\.[\w-]+)*$/.test(inputPath)) {
    throw new ResourceFailure(`the InputPath ${inputPath} is not understood locally`);
  }
  return {
    id: String(target.Id),
    arn,
    ...(roleArn === undefined ? {} : { roleArn }),
    ...(input === undefined ? {} : { input: parsedInput(input) }),
    ...(inputPath === undefined ? {} : { inputPath }),
  };
}

function parsedInput(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    throw new ResourceFailure('the Input of a target must be JSON');
  }
}
