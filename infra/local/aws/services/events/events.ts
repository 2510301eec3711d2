import { randomUUID } from 'node:crypto';
import { LOCAL_ACCOUNT, type ResourceFactory } from '../../../model.ts';
import { AwsError, ResourceFailure } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, Permission, ServiceModule } from '../../service.ts';
import type { EventBus } from './event-bus.ts';
import { parsePattern } from './event-pattern.ts';
import { busName, DEFAULT_BUS, type EventRule, type RuleTarget, readRule, readTarget } from './event-rule.ts';

/** PutEvents takes this many entries, and this many bytes of them together. */
const MOST_ENTRIES = 10;
const MOST_BYTES = 256 * 1024;
/** PutTargets takes this many of one rule. */
const MOST_TARGETS = 5;

/**
 * EventBridge: the buses of templates, rules of templates and of clients, and events that clients put. A client can
 * make no bus, and cannot change the rules of templates.
 */
export function events(bus: EventBus): ServiceModule {
  return {
    service: wire(bus),
    resources: [eventBusResource(bus), eventRuleResource(bus)],
    resume: () => bus.open(),
    stop: () => bus.close(),
  };
}

const busArn = (region: string, name: string) =>
  `arn:aws:events:${region}:${LOCAL_ACCOUNT}:event-bus/${name}`;
const ruleArn = (region: string, bus: string, name: string) =>
  `arn:aws:events:${region}:${LOCAL_ACCOUNT}:rule/${bus === DEFAULT_BUS ? '' : `${bus}/`}${name}`;

function wire(bus: EventBus): AwsService {
  const busOf = (input: Input) => busName(input.text('EventBusName'));
  const onRule = (member: 'Name' | 'Rule', run: Operation['run']): Operation => ({
    permissions: (input, { operation, region }) => [
      {
        action: `events:${operation}`,
        resource: ruleArn(region, busOf(input), input.required(member)),
        context: { 'events:creatorAccount': LOCAL_ACCOUNT },
      },
    ],
    run,
  });
  const onAny = (run: Operation['run']): Operation => ({
    permissions: (_, { operation }) => [{ action: `events:${operation}`, resource: '*' }],
    run,
  });
  /** @throws {AwsError} there is none */
  const existing = (input: Input, { region }: Call, member: 'Name' | 'Rule'): EventRule => {
    const name = input.required(member);
    const rule = bus.rule(ruleArn(region, busOf(input), name));
    if (!rule) throw notFound(`Rule ${name} does not exist on EventBus ${busOf(input)}.`);
    return rule;
  };
  const changeable = (input: Input, call: Call, member: 'Name' | 'Rule'): EventRule => {
    const rule = existing(input, call, member);
    if (!rule.atRunTime) throw invalid(`The rule ${rule.name} is a template's, which owns it locally.`);
    return rule;
  };
  const requireBus = (region: string, name: string): void => {
    if (!bus.hasBus(region, name)) throw notFound(`Event bus ${name} does not exist.`);
  };

  return {
    signingNames: ['events'],
    prefix: 'events',
    protocol: { kind: 'json', version: '1.1' },
    accessDenied: { code: 'AccessDeniedException', status: 400 },
    operations: {
      PutEvents: { permissions: putPermissions, run: (input, call) => putEvents(bus, input, call) },
      PutRule: onRule('Name', (input, { region }) => {
        const [name, onBus] = [input.required('Name'), busOf(input)];
        requireBus(region, onBus);
        const arn = ruleArn(region, onBus, name);
        const before = bus.rule(arn);
        if (before && !before.atRunTime) changeable(input, { region } as Call, 'Name');
        if (!/^[\w.-]{1,64}$/.test(name)) throw invalid(`The name ${name} of a rule is not valid.`);
        const rule = asAws(() =>
          readRule(arn, region, name, {
            EventBusName: onBus,
            ScheduleExpression: input.text('ScheduleExpression'),
            EventPattern: patternOf(input),
            State: input.text('State'),
            Description: input.text('Description'),
          }),
        );
        bus.put({ ...rule, targets: before?.targets ?? [], atRunTime: true });
        return { RuleArn: arn };
      }),
      DescribeRule: onRule('Name', (input, call) => described(existing(input, call, 'Name'))),
      DeleteRule: onRule('Name', (input, call) => {
        // AWS answers the same for a rule that is not there.
        if (!bus.rule(ruleArn(call.region, busOf(input), input.required('Name')))) return {};
        const rule = changeable(input, call, 'Name');
        if (rule.targets.length > 0) throw invalid("Rule can't be deleted since it has targets.");
        bus.remove(rule.arn);
        return {};
      }),
      ListRules: onAny((input, { region }) => {
        requireBus(region, busOf(input));
        const prefix = input.text('NamePrefix') ?? '';
        const rules = bus.rulesOf(region, busOf(input)).filter(({ name }) => name.startsWith(prefix));
        return { Rules: rules.map(described) };
      }),
      PutTargets: {
        permissions: (input, { region }) => [
          ...input.inputs('Targets').map((target) => ({
            action: 'events:PutTargets',
            resource: ruleArn(region, busOf(input), input.required('Rule')),
            context: {
              'events:creatorAccount': LOCAL_ACCOUNT,
              'events:TargetArn': target.required('Arn'),
            },
          })),
          ...input.inputs('Targets').flatMap((target) => passedRole(target.text('RoleArn'))),
        ],
        run(input, call) {
          const rule = changeable(input, call, 'Rule');
          const given = asAws(() => input.inputs('Targets').map(({ members }) => readTarget(members)));
          const kept = rule.targets.filter(({ id }) => !given.some((one) => one.id === id));
          if (kept.length + given.length > MOST_TARGETS) {
            throw new AwsError(
              'LimitExceededException',
              `The requested resource exceeds the maximum number allowed.`,
            );
          }
          bus.put({ ...rule, targets: [...kept, ...given] });
          return { FailedEntryCount: 0, FailedEntries: [] };
        },
      },
      ListTargetsByRule: onRule('Rule', (input, call) => ({
        Targets: existing(input, call, 'Rule').targets.map(describedTarget),
      })),
      RemoveTargets: onRule('Rule', (input, call) => {
        const rule = changeable(input, call, 'Rule');
        const ids = input.texts('Ids');
        bus.put({ ...rule, targets: rule.targets.filter(({ id }) => !ids.includes(id)) });
        return { FailedEntryCount: 0, FailedEntries: [] };
      }),
      DescribeEventBus: {
        permissions: (input, { region }) => [
          { action: 'events:DescribeEventBus', resource: busArn(region, busName(input.text('Name'))) },
        ],
        run(input, { region }) {
          const name = busName(input.text('Name'));
          requireBus(region, name);
          return { Name: name, Arn: busArn(region, name) };
        },
      },
      ListEventBuses: onAny((input, { region }) => ({
        EventBuses: bus
          .busesOf(region)
          .filter((name) => name.startsWith(input.text('NamePrefix') ?? ''))
          .map((name) => ({ Name: name, Arn: busArn(region, name) })),
      })),
    },
  };
}

/** The caller needs the right for each entry's bus, with the entry's source and type. */
function putPermissions(input: Input, { region }: Call): Permission[] {
  return input.inputs('Entries').map((entry) => ({
    action: 'events:PutEvents',
    resource: busArn(region, busName(entry.text('EventBusName'))),
    context: {
      'events:source': entry.text('Source') ?? '',
      'events:detail-type': entry.text('DetailType') ?? '',
    },
  }));
}

/** Takes each entry or refuses it alone: an answer has one result for each entry, in their order. */
function putEvents(bus: EventBus, input: Input, { region }: Call): unknown {
  const entries = input.inputs('Entries');
  if (entries.length < 1 || entries.length > MOST_ENTRIES) {
    throw invalid(
      `1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length less than or equal to ${MOST_ENTRIES} and greater than or equal to 1`,
    );
  }
  if (entries.reduce((sum, entry) => sum + sizeOf(entry), 0) > MOST_BYTES) {
    throw invalid('Total size of the entries in the request is over the limit.');
  }
  const results = entries.map((entry) => {
    const refusal = refusalOf(entry, bus, region);
    if (refusal) return { ErrorCode: refusal.code, ErrorMessage: refusal.message };
    const id = randomUUID();
    const time = Number(entry.members.Time);
    const at = Number.isFinite(time) ? new Date(time * 1000) : new Date();
    bus.publish(
      {
        version: '0',
        id,
        'detail-type': entry.required('DetailType'),
        source: entry.required('Source'),
        account: LOCAL_ACCOUNT,
        time: at.toISOString().replace(/\.\d+Z$/, 'Z'),
        region,
        resources: entry.texts('Resources'),
        detail: JSON.parse(entry.required('Detail')) as Record<string, unknown>,
      },
      busName(entry.text('EventBusName')),
    );
    return { EventId: id };
  });
  return { FailedEntryCount: results.filter((one) => 'ErrorCode' in one).length, Entries: results };
}

/** As AWS counts it: the time is 14 bytes. */
function sizeOf(entry: Input): number {
  const texts = [
    entry.text('Source'),
    entry.text('DetailType'),
    entry.text('Detail'),
    ...entry.texts('Resources'),
  ];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), entry.has('Time') ? 14 : 0);
}

function refusalOf(
  entry: Input,
  bus: EventBus,
  region: string,
): { code: string; message: string } | undefined {
  for (const name of ['Source', 'DetailType', 'Detail']) {
    if (!entry.text(name)) {
      const message = `Parameter ${name} is not valid. Reason: ${name} is a required argument.`;
      return { code: 'InvalidArgument', message };
    }
  }
  if (entry.required('Source').startsWith('aws.')) {
    return { code: 'NotAuthorizedForSourceException', message: 'Not authorized for the source.' };
  }
  if (!isJsonObject(entry.required('Detail'))) {
    return { code: 'MalformedDetail', message: 'Detail is malformed.' };
  }
  const name = busName(entry.text('EventBusName'));
  if (bus.hasBus(region, name)) return undefined;
  return { code: 'ResourceNotFoundException', message: `Event bus ${name} does not exist.` };
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** @throws {AwsError} the pattern is no JSON, or uses what is not supported here */
function patternOf(input: Input): unknown {
  const text = input.text('EventPattern');
  // `readRule` refuses a rule with a schedule.
  if (text === undefined && input.has('ScheduleExpression')) return undefined;
  try {
    return parsePattern(JSON.parse(text ?? ''));
  } catch (cause) {
    const reason = cause instanceof ResourceFailure ? cause.message : 'it is not JSON';
    throw new AwsError('InvalidEventPatternException', `Event pattern is not valid. Reason: ${reason}`);
  }
}

function passedRole(roleArn: string | undefined): Permission[] {
  if (roleArn === undefined) return [];
  const context = { 'iam:PassedToService': 'events.amazonaws.com' };
  return [{ action: 'iam:PassRole', resource: roleArn, context }];
}

function described(rule: EventRule): Record<string, unknown> {
  return {
    Name: rule.name,
    Arn: rule.arn,
    EventPattern: JSON.stringify(rule.pattern),
    State: rule.enabled ? 'ENABLED' : 'DISABLED',
    Description: rule.description,
    EventBusName: rule.bus,
  };
}

function describedTarget({ id, arn, roleArn, input, inputPath }: RuleTarget): Record<string, unknown> {
  return {
    Id: id,
    Arn: arn,
    RoleArn: roleArn,
    Input: input === undefined ? undefined : JSON.stringify(input),
    InputPath: inputPath,
  };
}

/** A refusal of a template's resource, as the API words it. */
function asAws<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    throw cause instanceof ResourceFailure ? invalid(cause.message) : cause;
  }
}

const invalid = (message: string) => new AwsError('ValidationException', message);
const notFound = (message: string) => new AwsError('ResourceNotFoundException', message);

/** `AWS::Events::EventBus`. */
function eventBusResource(bus: EventBus): ResourceFactory {
  return {
    type: 'AWS::Events::EventBus',
    async create({ stack: { region }, properties }) {
      const name = String(properties.Name);
      if (!/^[\w./-]{1,256}$/.test(name) || name === DEFAULT_BUS) {
        throw new ResourceFailure(`The name of an event bus cannot be ${name}`);
      }
      bus.addBus(region, name);
      return { ref: name, attributes: { Arn: busArn(region, name), Name: name } };
    },
    remove: async ({ ref, attributes }) => bus.removeBus(String(attributes.Arn).split(':')[3] ?? '', ref),
  };
}

/** `AWS::Events::Rule`. */
function eventRuleResource(bus: EventBus): ResourceFactory {
  return {
    type: 'AWS::Events::Rule',
    async create({ stack, properties, defaultName }) {
      const name = String(properties.Name ?? defaultName);
      const onBus = busName(properties.EventBusName);
      const arn = ruleArn(stack.region, onBus, name);
      bus.put(readRule(arn, stack.region, name, properties));
      return { ref: onBus === DEFAULT_BUS ? name : `${onBus}|${name}`, attributes: { Arn: arn } };
    },
    remove: async ({ attributes }) => bus.remove(String(attributes.Arn)),
  };
}
