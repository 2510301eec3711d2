/**
 * Invokes the targets of schedules, event rules and topics: functions, state machines, topics and queues.
 *
 * A target is invoked with the rights of a role, or because its own policy allows a service: a function's
 * `AWS::Lambda::Permission`, a topic's or a queue's policy, from the template or set by a client. A refusal, or a target that does not exist, is never
 * retried; every other failure is, after a pause that doubles.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { FunctionNotFound } from '../errors.ts';
import { lambdaPermissions, mayInvoke } from '../lambda/lambda-permission.ts';
import { LOCAL_ACCOUNT, type LocalResource, type PlatformContext } from '../model.ts';
import { AwsError, ResourceFailure } from './errors.ts';
import { ADMINISTRATOR, type Authorizer } from './iam/authorizer.ts';
import { conditionContext, conditionsHold } from './iam/conditions.ts';
import { asList, matchesWildcard, type PolicyDocument } from './iam/policy-document.ts';
import type { Principal, ServiceCall } from './service.ts';

/** The principal that invokes a target. */
export type Invoker =
  | { kind: 'role'; roleArn: string; sessionName: string }
  /** `service` as in policies, such as `events.amazonaws.com`; the source is the rule or the topic. */
  | { kind: 'service'; service: string; sourceArn: string };

export interface Invocation {
  targetArn: string;
  /** ARN of the schedule, rule or topic that invokes. */
  region: string;
  invoker: Invoker;
  /** JSON text: a function's event, an execution's input, or a topic's message. */
  payload: string;
}

export interface RetryOptions {
  /** Attempts after the first one. */
  retries: number;
  /** Factor on the pauses. */
  waitScale: number;
  /** Ends the pauses between attempts. */
  signal: AbortSignal;
}

/** Retries of an asynchronous invocation, as Lambda makes them. */
export const ASYNCHRONOUS_RETRIES = 2;
/** Pause before the first of them, in milliseconds before scaling; each further pause is twice as long. */
const FIRST_RETRY_PAUSE_MS = 60_000;

/** The invocation can never succeed: a missing permission, or a target that does not exist. */
export class Undeliverable extends Error {
  override name = 'Undeliverable';
}

/**
 * Runs `attempt`, numbered from 1, until it succeeds.
 * @throws the last attempt's error; an {@link Undeliverable} at once
 */
export async function withRetries(
  attempt: (number: number) => Promise<void>,
  { retries, waitScale, signal }: RetryOptions,
): Promise<void> {
  let pause = FIRST_RETRY_PAUSE_MS * waitScale;
  for (let number = 1; ; number += 1) {
    try {
      await attempt(number);
      return;
    } catch (cause) {
      if (cause instanceof Undeliverable || number > retries || signal.aborted) throw cause;
      await delay(pause, undefined, { signal }).catch(() => {
        throw cause;
      });
      pause *= 2;
    }
  }
}

/** The policies that clients have set on a topic or a queue. */
export type ClientPolicies = (arn: string) => Promise<PolicyDocument | undefined>;

/**
 * @param others services besides those that every invoker has
 * @throws {ResourceFailure} for a target that is not supported here
 */
export function checkTarget(arn: string, invoker: string, others: readonly 'sqs'[] = []): void {
  if (others.includes('sqs') && /^arn:aws:sqs:[^:]+:\d+:[\w-]+$/.test(arn)) return;
  if (arn.startsWith('arn:aws:scheduler:::aws-sdk:')) {
    throw new ResourceFailure(
      `universal targets are not run locally (${arn}): name a function, a state machine or a topic`,
    );
  }
  if (!/^arn:aws:(?:lambda:[^:]+:\d+:function|states:[^:]+:\d+:stateMachine|sns:[^:]+:\d+):/.test(arn)) {
    const known = `functions, state machines${others.length > 0 ? ', topics and standard queues' : ' and topics'}`;
    throw new ResourceFailure(`${invoker} invoke ${known} locally, not ${arn}`);
  }
}

export class Targets {
  readonly #context: PlatformContext;
  readonly #authorizer: Authorizer;
  readonly #call: ServiceCall;
  readonly #clientPolicy: ClientPolicies;

  constructor(
    context: PlatformContext,
    authorizer: Authorizer,
    call: ServiceCall,
    clientPolicy: ClientPolicies,
  ) {
    this.#context = context;
    this.#authorizer = authorizer;
    this.#call = call;
    this.#clientPolicy = clientPolicy;
  }

  /**
   * Invokes once. A function is awaited, so that the retries cover its failures.
   * @throws {Undeliverable} when it may not be invoked, or does not exist
   * @throws {Error} when it failed
   */
  async invoke(invocation: Invocation): Promise<void> {
    const [, , service] = invocation.targetArn.split(':');
    if (service === 'lambda') await this.#invokeFunction(invocation);
    else if (service === 'states') await this.#startExecution(invocation);
    else if (service === 'sqs') await this.#send(invocation);
    else await this.#publish(invocation);
  }

  async #invokeFunction({ targetArn, region, invoker, payload }: Invocation): Promise<void> {
    if (invoker.kind === 'role') {
      const permission = { action: 'lambda:InvokeFunction', resource: targetArn };
      const refusal = this.#authorizer.refuses(this.#session(invoker), permission, region);
      if (refusal !== undefined) throw new Undeliverable(refusal);
    } else {
      const permissions = lambdaPermissions(this.#resources(region), invoker.service);
      if (!mayInvoke(permissions, targetArn, invoker.sourceArn)) {
        throw refusedByPolicy(invoker.service, 'lambda:InvokeFunction', targetArn);
      }
    }
    try {
      const event: unknown = JSON.parse(payload);
      const result = await this.#context.functions.invoke(targetArn, event, { region });
      if (!result.functionError) return;
      const { errorType, errorMessage } = result.payload as Record<string, unknown>;
      throw new Error(`${targetArn} failed: ${errorType}: ${errorMessage}`);
    } catch (cause) {
      throw cause instanceof FunctionNotFound ? new Undeliverable(cause.message) : cause;
    }
  }

  async #startExecution({ targetArn, region, invoker, payload }: Invocation): Promise<void> {
    if (invoker.kind !== 'role') throw new Undeliverable(`${targetArn} is started with a role only`);
    const members = { stateMachineArn: targetArn, input: payload };
    await this.#callOnce('states', 'StartExecution', members, this.#session(invoker), region);
  }

  async #publish({ targetArn, region, invoker, payload }: Invocation): Promise<void> {
    const principal = await this.#principalFor('sns:Publish', 'AWS::SNS::TopicPolicy', {
      targetArn,
      region,
      invoker,
    });
    await this.#callOnce('sns', 'Publish', { TopicArn: targetArn, Message: payload }, principal, region);
  }

  async #send({ targetArn, region, invoker, payload }: Invocation): Promise<void> {
    const principal = await this.#principalFor('sqs:SendMessage', 'AWS::SQS::QueuePolicy', {
      targetArn,
      region,
      invoker,
    });
    const [, , , , account, name] = targetArn.split(':');
    const members = { QueueUrl: `${this.#context.awsUrl}/${account}/${name}`, MessageBody: payload };
    await this.#callOnce('sqs', 'SendMessage', members, principal, region);
  }

  /** Who calls: the role, whose own rights are checked then, or a service that the target's policy allows. */
  async #principalFor(
    action: string,
    policyType: string,
    { targetArn, region, invoker }: Omit<Invocation, 'payload'>,
  ): Promise<Principal> {
    if (invoker.kind === 'role') return this.#session(invoker);
    const set = await this.#clientPolicy(targetArn);
    const policies = [...this.#templatePolicies(policyType, targetArn, region), ...(set ? [set] : [])];
    if (!allowsService(policies, action, targetArn, invoker)) {
      throw refusedByPolicy(invoker.service, action, targetArn);
    }
    return ADMINISTRATOR;
  }

  /** A request that a service's own API refuses would be refused again. */
  async #callOnce(...call: Parameters<ServiceCall>): Promise<void> {
    try {
      await this.#call(...call);
    } catch (cause) {
      throw cause instanceof AwsError && cause.status < 500 ? new Undeliverable(cause.message) : cause;
    }
  }

  /** The policies that the templates give the topic or the queue. */
  #templatePolicies(type: string, arn: string, region: string): PolicyDocument[] {
    const name = arn.slice(arn.lastIndexOf(':') + 1);
    return this.#resources(region)
      .filter((resource) => {
        if (resource.type !== type) return false;
        const { Topics, Queues } = resource.properties;
        return (
          asList(Topics as string[] | undefined).includes(arn) ||
          asList(Queues as string[] | undefined).some((url) => String(url).endsWith(`/${name}`))
        );
      })
      .map(({ properties }) => properties.PolicyDocument as PolicyDocument);
  }

  #session({ roleArn, sessionName }: Invoker & { kind: 'role' }): Principal {
    return this.#authorizer.session(roleArn, sessionName);
  }

  #resources(region: string): LocalResource[] {
    return [...this.#context.stacks.values()]
      .filter((stack) => stack.region === region)
      .flatMap((stack) => [...stack.resources.values()]);
  }
}

function refusedByPolicy(service: string, action: string, resource: string): Undeliverable {
  return new Undeliverable(
    `${service} is not authorized to perform: ${action} on resource: ${resource} because no resource-based policy allows the ${action} action`,
  );
}

/** Whether the policies of a topic or a queue let the service do that on behalf of the rule or topic. */
function allowsService(
  policies: readonly PolicyDocument[],
  action: string,
  resource: string,
  invoker: Invoker & { kind: 'service' },
): boolean {
  const context = conditionContext(
    {
      'aws:SourceArn': invoker.sourceArn,
      'aws:SourceAccount': LOCAL_ACCOUNT,
      'aws:SecureTransport': 'true',
    },
    undefined,
  );
  const statements = policies
    .flatMap(({ Statement }) => asList(Statement))
    .filter(
      ({ Principal: named, Action, Resource }) =>
        (named === '*' ||
          asList(named?.AWS).includes('*') ||
          asList(named?.Service).includes(invoker.service)) &&
        asList(Action).some((one) => matchesWildcard(one, action, true)) &&
        asList(Resource).some((one) => matchesWildcard(one, resource)),
    );
  const holding = (effect: 'Allow' | 'Deny', answers: unknown[]) =>
    statements.some(
      ({ Effect, Condition }) => Effect === effect && answers.includes(conditionsHold(Condition, context)),
    );
  // A condition that is not supported denies.
  return holding('Allow', [true]) && !holding('Deny', [true, 'unknown']);
}
