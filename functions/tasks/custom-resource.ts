/**
 * A function behind a CloudFormation custom resource, which answers CloudFormation itself.
 *
 * States of a request: received ──Delete──▶ SUCCESS
 *                      received ──Create, Update──▶ applying ──▶ SUCCESS | FAILED ──PUT──▶ answered
 *
 * Invariants: every request is answered once, before the function's time is up, and any error becomes FAILED; otherwise
 * CloudFormation waits for an hour. The answer has the error's name; only the log has the details.
 */
import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import type * as z from 'zod';
import { logger } from '../aws/logger.ts';

/** Attributes that a template may read with `Fn::GetAtt`. */
type Attributes = Readonly<Record<string, string>>;

export interface CustomResource<Schema extends z.ZodType> {
  /** The resource's properties, which CloudFormation delivers as strings. */
  readonly properties: Schema;
  /** The same for Create and Update: after a change CloudFormation would delete the old resource. */
  physicalId(properties: z.output<Schema>): string;
  /**
   * Applies the resource's properties. Runs on every deployment and may run twice.
   * @returns the resource's attributes, if any; about 3 KB at most.
   */
  apply(properties: z.output<Schema>): Promise<Attributes | undefined>;
}

export type CustomResourceHandler = (
  event: CloudFormationCustomResourceEvent,
  context: Pick<Context, 'getRemainingTimeInMillis' | 'logStreamName'>,
) => Promise<void>;

/** Part of the function's time that is kept for the answer, in ms. */
const TIME_TO_ANSWER = 5_000;

/** Deleting such a resource does nothing: the data must outlive the stack. */
export function customResourceHandler<Schema extends z.ZodType>(
  resource: CustomResource<Schema>,
): CustomResourceHandler {
  return async (event, context) => {
    let physicalId = event.RequestType === 'Create' ? event.LogicalResourceId : event.PhysicalResourceId;
    if (event.RequestType === 'Delete') return answer(event, physicalId, { Status: 'SUCCESS' });
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new DeadlineReached('the function’s time is nearly up')),
      Math.max(context.getRemainingTimeInMillis() - TIME_TO_ANSWER, 0),
    );
    let attributes: Attributes | undefined;
    try {
      const properties = resource.properties.parse(event.ResourceProperties);
      physicalId = resource.physicalId(properties);
      attributes = await Promise.race([resource.apply(properties), late]);
    } catch (error) {
      logger.error('the custom resource failed', {
        resource: event.LogicalResourceId,
        error: error as Error,
      });
      const Reason = `${nameOf(error)}; see log stream ${context.logStreamName}`;
      return answer(event, physicalId, { Status: 'FAILED', Reason });
    } finally {
      clearTimeout(timer);
    }
    return answer(event, physicalId, { Status: 'SUCCESS', ...(attributes ? { Data: attributes } : {}) });
  };
}

/** One function for several types of custom resources: each request goes to the handler of its type. */
export function customResourceHandlers(
  handlers: Readonly<Record<string, CustomResourceHandler>>,
): CustomResourceHandler {
  return async (event, context) => {
    const { ResourceType: type, LogicalResourceId: logicalId } = event;
    const handler = Object.hasOwn(handlers, type) ? handlers[type] : undefined;
    if (handler) return handler(event, context);
    await answer(event, logicalId, { Status: 'FAILED', Reason: `this function has no resource ${type}` });
  };
}

class DeadlineReached extends Error {
  override name = 'DeadlineReached';
}

/** Class and code of an error. Only these go into the stack's event list, because a message might quote a value. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'Error';
  const { code, sqlState } = error as { code?: unknown; sqlState?: unknown };
  const detail = sqlState ?? code;
  return typeof detail === 'string' ? `${error.name} ${detail}` : error.name;
}

/** @throws when the answer cannot be delivered. Lambda then repeats the whole request, which is safe. */
async function answer(
  event: CloudFormationCustomResourceEvent,
  physicalId: string,
  outcome: { Status: 'SUCCESS'; Data?: Attributes } | { Status: 'FAILED'; Reason: string },
): Promise<void> {
  const { StackId, RequestId, LogicalResourceId } = event;
  const document = { ...outcome, PhysicalResourceId: physicalId, StackId, RequestId, LogicalResourceId };
  // Bytes, so that fetch adds no Content-Type: the URL is signed without one.
  const body = Buffer.from(JSON.stringify(document));
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(event.ResponseURL, { method: 'PUT', body });
      if (response.ok) return;
      throw new Error(`the answer was refused with ${response.status}`);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}
