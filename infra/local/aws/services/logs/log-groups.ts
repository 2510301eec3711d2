import { existsSync, readFileSync, statSync } from 'node:fs';
import { LOCAL_ACCOUNT, type PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';

/** One line that a function has written. */
export interface LogEvent {
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  readonly message: string;
  /** The line as JSON; empty when it is none. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface LogGroup {
  readonly name: string;
  readonly arn: string;
  readonly retentionInDays: number | undefined;
  readonly storedBytes: number;
}

/**
 * The log groups of one region: those of its templates and those of its functions. What a function writes is in a file,
 * and is read from there. A line has no time of its own there: a line of JSON says it, any other has that of the line
 * before it.
 */
export class LogGroups {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  list(region: string): LogGroup[] {
    const retention = new Map<string, number | undefined>();
    for (const { logGroupName } of this.#functions(region)) retention.set(logGroupName, undefined);
    for (const stack of this.#context.stacks.values()) {
      if (stack.region !== region) continue;
      for (const { type, ref, properties } of stack.resources.values()) {
        if (type !== 'AWS::Logs::LogGroup') continue;
        const days = Number(properties.RetentionInDays);
        retention.set(ref, Number.isNaN(days) ? undefined : days);
      }
    }
    return [...retention.keys()].sort().map((name) => ({
      name,
      arn: logGroupArn(name, region),
      retentionInDays: retention.get(name),
      storedBytes: this.#files(name, region).reduce((sum, file) => sum + statSync(file).size, 0),
    }));
  }

  /** All events of the group, oldest first. @throws {AwsError} ResourceNotFoundException */
  events(name: string, region: string): LogEvent[] {
    this.require(name, region);
    const events = this.#files(name, region).flatMap((file) => eventsOf(readFileSync(file, 'utf8')));
    return events.sort((one, other) => one.timestamp - other.timestamp);
  }

  /** @throws {AwsError} ResourceNotFoundException */
  require(name: string, region: string): void {
    const isKnown =
      this.#functions(region).some(({ logGroupName }) => logGroupName === name) ||
      [...this.#context.stacks.values()].some(
        (stack) =>
          stack.region === region &&
          [...stack.resources.values()].some(
            ({ type, ref }) => type === 'AWS::Logs::LogGroup' && ref === name,
          ),
      );
    if (!isKnown) throw new AwsError('ResourceNotFoundException', 'The specified log group does not exist.');
  }

  #files(name: string, region: string): string[] {
    return this.#functions(region)
      .filter(({ logGroupName, logFile }) => logGroupName === name && existsSync(logFile))
      .map(({ logFile }) => logFile);
  }

  #functions(region: string) {
    return this.#context.functions.list().filter(({ arn }) => arn.split(':')[3] === region);
  }
}

/** As policies name a log group for everything but its tags. */
export function logGroupArn(name: string, region: string): string {
  return `arn:aws:logs:${region}:${LOCAL_ACCOUNT}:log-group:${name}:*`;
}

function eventsOf(text: string): LogEvent[] {
  let timestamp = 0;
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((message) => {
      const fields = fieldsOf(message);
      timestamp = timeOf(fields) ?? timestamp;
      return { timestamp, message, fields };
    });
}

function fieldsOf(message: string): Record<string, unknown> {
  if (!message.startsWith('{')) return {};
  try {
    return JSON.parse(message) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** Of the embedded metric format, or of a logger's line. */
function timeOf({ _aws, timestamp }: Record<string, unknown>): number | undefined {
  const embedded = (_aws as { Timestamp?: unknown } | undefined)?.Timestamp;
  if (typeof embedded === 'number') return embedded;
  const time = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}
