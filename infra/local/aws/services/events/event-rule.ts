import type { Properties } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import { checkTarget } from '../../targets.ts';
import { type EventPattern, parsePattern } from './event-pattern.ts';

/** The bus of AWS's own events, which every region has. */
export const DEFAULT_BUS = 'default';

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
  bus: string;
  description?: string;
  /** A disabled rule matches nothing. */
  enabled: boolean;
  pattern: EventPattern;
  targets: RuleTarget[];
  /** Made by a client, not by a template: only clients change it, and it is kept in the state. */
  atRunTime: boolean;
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
 * Reads an `AWS::Events::Rule`.
 * @throws {ResourceFailure} for what is not supported here
 */
export function readRule(arn: string, region: string, name: string, properties: Properties): EventRule {
  if (properties.ScheduleExpression !== undefined) {
    throw new ResourceFailure('rules with a schedule are not run locally: use AWS::Scheduler::Schedule');
  }
  const pattern = parsePattern(properties.EventPattern);
  const targets = ((properties.Targets ?? []) as Record<string, unknown>[]).map(readTarget);
  const description = properties.Description;
  return {
    arn,
    name,
    region,
    bus: busName(properties.EventBusName),
    ...(description === undefined ? {} : { description: String(description) }),
    enabled: properties.State !== 'DISABLED',
    pattern,
    targets,
    atRunTime: false,
  };
}

/** Of a name or an ARN; the default bus when there is none. */
export function busName(reference: unknown): string {
  const text = String(reference ?? DEFAULT_BUS);
  return text.startsWith('arn:') ? text.slice(text.lastIndexOf('/') + 1) : text;
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

/** @throws {ResourceFailure} for a target that is not supported here */
export function readTarget(target: Record<string, unknown>): RuleTarget {
  const arn = String(target.Arn);
  checkTarget(arn, 'rules', ['sqs']);
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
