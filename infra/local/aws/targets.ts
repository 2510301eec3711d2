/**
 * What schedules, event rules and topics invoke: functions, state machines and topics.
 *
 * A target is invoked with the rights of a role, or because its own policy lets a service: a function's
 * `AWS::Lambda::Permission`, a topic's `AWS::SNS::TopicPolicy`. A refusal, or a target that does not exist, is never
 * retried; every other failure is, with a pause that doubles.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { FunctionNotFound } from '../errors.ts';
import { lambdaPermissions, mayInvoke } from '../lambda/lambda-permission.ts';
import { LOCAL_ACCOUNT, type LocalResource, type PlatformContext } from '../model.ts';
import { AwsError, ResourceFailure } from './errors.ts';
import { ADMINISTRATOR, type Authorizer } from './iam/authorizer.ts';
import { conditionContext, conditionsHold } from './iam/conditions.ts';
import { asList, matchesWildcard, type PolicyDocument } from './iam/evaluator.ts';
import type { Principal, ServiceCall } from './service.ts';

/** In whose name a target is invoked. */
export type Invoker =
  | { kind: 'role'; roleArn: string; sessionName: string }
  /** `service` as policies name it, such as `events.amazonaws.com`; the source is the rule or the topic. */
  | { kind: 'service'; service: string; sourceArn: string };

export interface Invocation {
  targetArn: string;
  /** Of the schedule, rule or topic that invokes. */
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
  /** Ends the waiting between attempts. */
  signal: AbortSignal;
}

/** Retries of an asynchronous invocation, as Lambda makes them. */
export const ASYNCHRONOUS_RETRIES = 2;
/** What Lambda waits before the first of them, in milliseconds before scaling; each further pause is twice as long. */
const FIRST_RETRY_PAUSE_MS = 60_000;

/** The invocation cannot succeed however often it is repeated: a missing permission, a target that does not exist. */
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

/** @throws {ResourceFailure} for a target that is not invoked here */
export function checkTarget(arn: string, invoker: string): void {
  if (arn.startsWith('arn:aws:scheduler:::aws-sdk:')) {
    throw new ResourceFailure(
      `universal targets are not run locally (${arn}): name a function, a state machine or a topic`,
    );
  }
  if (!/^arn:aws:(?:lambda:[^:]+:\d+:function|states:[^:]+:\d+:stateMachine|sns:[^:]+:\d+):/.test(arn)) {
    throw new ResourceFailure(`${invoker} invoke functions, state machines and topics locally, not ${arn}`);
  }
}

export class Targets {
  readonly #context: PlatformContext;
  readonly #authorizer: Authorizer;
  readonly #call: ServiceCall;

  constructor(context: PlatformContext, authorizer: Authorizer, call: ServiceCall) {
    this.#context = context;
    this.#authorizer = authorizer;
    this.#call = call;
  }

  /**
   * Invokes once. A function is awaited, so that the retries cover what fails inside it.
   * @throws {Undeliverable} when it may not be invoked, or does not exist
   * @throws {Error} when it failed
   */
  async invoke(invocation: Invocation): Promise<void> {
    const [, , service] = invocation.targetArn.split(':');
    if (service === 'lambda') await this.#invokeFunction(invocation);
    else if (service === 'states') await this.#startExecution(invocation);
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
    if (invoker.kind === 'service' && !this.#mayPublish(targetArn, region, invoker)) {
      throw refusedByPolicy(invoker.service, 'sns:Publish', targetArn);
    }
    const principal = invoker.kind === 'role' ? this.#session(invoker) : ADMINISTRATOR;
    await this.#callOnce('sns', 'Publish', { TopicArn: targetArn, Message: payload }, principal, region);
  }

  /** What a service's own API refuses is refused again by a repetition. */
  async #callOnce(...call: Parameters<ServiceCall>): Promise<void> {
    try {
      await this.#call(...call);
    } catch (cause) {
      throw cause instanceof AwsError && cause.status < 500 ? new Undeliverable(cause.message) : cause;
    }
  }

  /** By the policies that the templates give the topic. */
  #mayPublish(topicArn: string, region: string, invoker: Invoker & { kind: 'service' }): boolean {
    const context = conditionContext(
      {
        'aws:SourceArn': invoker.sourceArn,
        'aws:SourceAccount': LOCAL_ACCOUNT,
        'aws:SecureTransport': 'true',
      },
      undefined,
    );
    const statements = this.#resources(region)
      .filter(
        ({ type, properties }) =>
          type === 'AWS::SNS::TopicPolicy' && asList(properties.Topics).includes(topicArn),
      )
      .flatMap(({ properties }) => asList((properties.PolicyDocument as PolicyDocument).Statement))
      .filter(
        ({ Principal: named, Action, Resource }) =>
          (named === '*' ||
            asList(named?.AWS).includes('*') ||
            asList(named?.Service).includes(invoker.service)) &&
          asList(Action).some((action) => matchesWildcard(action, 'sns:Publish', true)) &&
          asList(Resource).some((resource) => matchesWildcard(resource, topicArn)),
      );
    const holding = (effect: 'Allow' | 'Deny', answers: unknown[]) =>
      statements.some(
        ({ Effect, Condition }) => Effect === effect && answers.includes(conditionsHold(Condition, context)),
      );
    // A condition that is not understood denies.
    return holding('Allow', [true]) && !holding('Deny', [true, 'unknown']);
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
