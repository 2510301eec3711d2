/**
 * Records refused requests of users in the tenant's audit log: 403 by role, 404 on an id that is not there or is another
 * tenant's, 412. Each entry is a transaction of its own, written before the answer.
 *
 * A refusal stays a refusal when the entry cannot be written: that is only logged, and waited for no longer than
 * `PATIENCE_MS`. A flood of refusals cannot fill the log: the statement bounds the entries of one user
 * (`refusalInsert`), and a container that has recorded so many for a user writes no more, so the flood does not cost
 * the database anything either.
 */
import { LRUCache } from 'lru-cache';
import { logger } from '../aws/logger.ts';
import { isUuid } from '../contracts/tenant.ts';
import { ResourceNotFound, VersionMismatch } from '../resources/errors.ts';
import { REFUSALS_PER_HOUR, refusalInsert } from '../tenant-data/refusal-entry.ts';
import type { ApiEvent } from './api-event.ts';
import { Problem } from './problem.ts';
import { toProblem } from './problem-mapping.ts';
import type { TenantContext } from './resolve-tenant.ts';

/** How long an answer waits for its entry, in milliseconds. */
const PATIENCE_MS = 3_000;
const HOUR_MS = 3_600_000;
/** Users of whom a container remembers how many refusals it has recorded. */
const REMEMBERED_USERS = 1_000;

/** What a refused request was about. */
export interface RefusedRequest {
  readonly event: Pick<ApiEvent, 'routeKey' | 'pathParameters'>;
  /** Such as `employee`. */
  readonly resourceType: string | undefined;
}

/** Writes the entry when the error is such a refusal and the actor a user. Never throws. */
export async function recordRefusal(
  { tenant, actor }: TenantContext,
  { event, resourceType }: RefusedRequest,
  error: unknown,
): Promise<void> {
  if (!isRecorded(error) || actor.kind !== 'user') return;
  if (!takeFromBudget(`${tenant.tenantId} ${actor.userId}`)) return;
  const { status, problemType } = toProblem(error);
  const { routeKey, pathParameters } = event;
  const id = Object.values(pathParameters ?? {})
    .at(-1)
    ?.toLowerCase();
  const entry = refusalInsert(actor, {
    action: 'request.refused',
    resourceType: resourceType ?? collectionOf(routeKey),
    resourceId: id !== undefined && isUuid(id) ? id : undefined,
    requestData: { route: routeKey, problem: problemType },
    responseStatus: status,
  });
  const writing = tenant.batch('write', [entry]).catch((cause: unknown) => {
    logger.warn('a refused request left no trace', { route: routeKey, error: cause as Error });
  });
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS);
  });
  await Promise.race([writing, patience]);
  clearTimeout(timer);
}

function isRecorded(error: unknown): boolean {
  if (error instanceof Problem) return error.problemType === 'role-not-allowed';
  return error instanceof ResourceNotFound || error instanceof VersionMismatch;
}

/** `audit_log` of `GET /audit-log/verification`. */
function collectionOf(routeKey: string): string {
  const [, first = ''] = /^\S+ \/([^/]+)/.exec(routeKey) ?? [];
  return first.replaceAll('-', '_');
}

/** How many refusals of each user this container has recorded within an hour of the first. */
const taken = new LRUCache<string, { refusals: number }>({ max: REMEMBERED_USERS, ttl: HOUR_MS });

/** @returns whether another refusal of the user is recorded. */
function takeFromBudget(user: string): boolean {
  // `peek`: the user who was remembered first is forgotten first.
  let used = taken.peek(user);
  if (!used) {
    used = { refusals: 0 };
    taken.set(user, used);
  }
  used.refusals += 1;
  return used.refusals <= REFUSALS_PER_HOUR;
}
