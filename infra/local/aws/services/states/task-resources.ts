import { setTimeout as delay } from 'node:timers/promises';
import { FunctionNotFound } from '../../../errors.ts';
import type { PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Authorizer } from '../../iam/authorizer.ts';
import type { Principal, ServiceCall } from '../../service.ts';
import { functionArn } from '../lambda/lambda.ts';

/** Limit of a state's input or output, in bytes. */
const PAYLOAD_LIMIT = 256 * 1024;

/**
 * Makes a state fail with a chosen error name, which Retry and Catch compare. `message` becomes the cause. Terminal
 * ones can be neither retried nor caught.
 */
export class TaskFailure extends Error {
  /** Read by the interpreter. */
  readonly isRetryable: boolean;
  readonly isCatchable: boolean;

  constructor(name: string, cause: string, options: { terminal?: boolean } = {}) {
    super(cause);
    this.name = name;
    this.isRetryable = !options.terminal;
    this.isCatchable = !options.terminal;
  }
}

/** Names of the services in resource ARNs and in error names; some have camel case members. */
const INTEGRATIONS: Record<string, { signingName: string; errors: string; camelCase?: boolean }> = {
  cloudformation: { signingName: 'cloudformation', errors: 'CloudFormation' },
  kms: { signingName: 'kms', errors: 'Kms' },
  rds: { signingName: 'rds', errors: 'Rds' },
  rdsdata: { signingName: 'rds-data', errors: 'RdsData', camelCase: true },
  secretsmanager: { signingName: 'secretsmanager', errors: 'SecretsManager' },
  sfn: { signingName: 'states', errors: 'Sfn', camelCase: true },
  sns: { signingName: 'sns', errors: 'Sns' },
};

/** How often a Task state looks whether the execution that it waits for has ended, in milliseconds. */
const EXECUTION_POLL_MS = 100;

/** Runs what Task states name as their resource, with the rights of the state machine's role. */
export class TaskResources {
  readonly #context: PlatformContext;
  readonly #authorizer: Authorizer;
  readonly #call: ServiceCall;

  constructor(context: PlatformContext, authorizer: Authorizer, call: ServiceCall) {
    this.#context = context;
    this.#authorizer = authorizer;
    this.#call = call;
  }

  /**
   * @param signal aborted at the execution's end, for work that outlasts one call
   * @throws {TaskFailure} with AWS's error name
   */
  async run(
    resource: string,
    input: unknown,
    as: Principal,
    region: string,
    signal: AbortSignal,
  ): Promise<unknown> {
    const result = await this.#dispatch(resource, input, as, region, signal);
    if (Buffer.byteLength(JSON.stringify(result ?? null)) > PAYLOAD_LIMIT) {
      throw new TaskFailure(
        'States.DataLimitExceeded',
        `The state/task '${resource}' returned a result with a size exceeding the maximum number of bytes service limit.`,
        { terminal: true },
      );
    }
    return result;
  }

  async #dispatch(
    resource: string,
    input: unknown,
    as: Principal,
    region: string,
    signal: AbortSignal,
  ): Promise<unknown> {
    if (resource.startsWith('arn:aws:lambda:')) return this.#invoke(resource, input, as, region);
    if (resource === 'arn:aws:states:::states:startExecution.sync:2') {
      return this.#runExecution(input as Record<string, unknown>, as, region, signal);
    }
    const integration = /^arn:aws:states:::(?:aws-sdk:)?([a-z]+):(\w+)$/.exec(resource);
    const [, service = '', action = ''] = integration ?? [];
    if (service === 'lambda' && action === 'invoke') return this.#lambdaInvoke(input, as, region);
    const target = INTEGRATIONS[service];
    if (!integration || !target) {
      throw new TaskFailure('States.Runtime', `The resource ${resource} is not supported here`, {
        terminal: true,
      });
    }
    return this.#service(target, action, (input ?? {}) as Record<string, unknown>, as, region);
  }

  /**
   * `startExecution.sync:2`: starts an execution and waits for its end, with the rights that AWS asks of the role for
   * that. One that did not succeed is `States.TaskFailed`, with its description as the cause. Where the waiting
   * execution is stopped, the other one is stopped too.
   */
  async #runExecution(
    { Input, ...parameters }: Record<string, unknown>,
    as: Principal,
    region: string,
    signal: AbortSignal,
  ): Promise<unknown> {
    const states = { signingName: 'states', errors: 'StepFunctions', camelCase: true };
    const text = typeof Input === 'string' ? Input : JSON.stringify(Input ?? {});
    const started = await this.#service(states, 'startExecution', { ...parameters, Input: text }, as, region);
    const { ExecutionArn } = started as { ExecutionArn: string };
    for (;;) {
      const described = await this.#service(states, 'describeExecution', { ExecutionArn }, as, region);
      const { Output, ...execution } = described as Record<string, unknown>;
      if (execution.Status === 'SUCCEEDED') return { ...execution, Output: JSON.parse(String(Output)) };
      if (execution.Status !== 'RUNNING') {
        throw new TaskFailure('States.TaskFailed', JSON.stringify(execution));
      }
      try {
        await delay(EXECUTION_POLL_MS, undefined, { signal });
      } catch {
        const Cause = 'The execution that waited for it has ended';
        await this.#service(states, 'stopExecution', { ExecutionArn, Cause }, as, region);
        throw new TaskFailure('States.Runtime', Cause, { terminal: true });
      }
    }
  }

  async #lambdaInvoke(input: unknown, as: Principal, region: string): Promise<unknown> {
    const { FunctionName, Payload, InvocationType } = input as Record<string, unknown>;
    const type = InvocationType === 'Event' ? 'Event' : 'RequestResponse';
    const payload = await this.#invoke(String(FunctionName), Payload ?? {}, as, region, type);
    return { ExecutedVersion: '$LATEST', Payload: payload, StatusCode: type === 'Event' ? 202 : 200 };
  }

  async #invoke(
    nameOrArn: string,
    payload: unknown,
    as: Principal,
    region: string,
    type: 'RequestResponse' | 'Event' = 'RequestResponse',
  ): Promise<unknown> {
    const permission = { action: 'lambda:InvokeFunction', resource: functionArn(nameOrArn, region) };
    const refusal = this.#authorizer.refuses(as, permission, region);
    if (refusal !== undefined) throw new TaskFailure('Lambda.AWSLambdaException', refusal);
    try {
      const result = await this.#context.functions.invoke(nameOrArn, payload, { type, region });
      if (!result.functionError) return result.payload ?? null;
      const { errorType } = (result.payload ?? {}) as { errorType?: unknown };
      throw new TaskFailure(
        typeof errorType === 'string' && errorType !== '' ? errorType : 'Lambda.Unknown',
        JSON.stringify(result.payload),
      );
    } catch (cause) {
      if (cause instanceof TaskFailure) throw cause;
      if (cause instanceof FunctionNotFound) {
        throw new TaskFailure('Lambda.ResourceNotFoundException', cause.message);
      }
      throw new TaskFailure(
        'Lambda.SdkClientException',
        cause instanceof Error ? cause.message : String(cause),
      );
    }
  }

  async #service(
    target: { signingName: string; errors: string; camelCase?: boolean },
    action: string,
    input: Record<string, unknown>,
    as: Principal,
    region: string,
  ): Promise<unknown> {
    const operation = capitalized(action, true);
    const members = target.camelCase ? withKeys(input, (key) => capitalized(key, false)) : input;
    try {
      const result = await this.#call(
        target.signingName,
        operation,
        members as Record<string, unknown>,
        as,
        region,
      );
      // Dates and blobs travel as text between states.
      const plain: unknown = JSON.parse(JSON.stringify(result ?? {}));
      return target.camelCase ? withKeys(plain, (key) => capitalized(key, true)) : plain;
    } catch (cause) {
      if (!(cause instanceof AwsError)) throw cause;
      throw new TaskFailure(`${target.errors}.${cause.code}`, cause.message);
    }
  }
}

function capitalized(name: string, upper: boolean): string {
  const first = name.charAt(0);
  return (upper ? first.toUpperCase() : first.toLowerCase()) + name.slice(1);
}

function withKeys(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => withKeys(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [rename(key), withKeys(item, rename)]),
  );
}
