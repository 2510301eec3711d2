import * as z from 'zod/mini';
import { namedIssues } from '../contracts/input-issues.ts';
import { readInput } from '../resources/read-input.ts';
import { InvalidRestoreInput } from './errors.ts';
import type { RestoredState } from './restore-records.ts';

/** The body of `POST /tenants/{tenantId}/restores`. */
export type RestoreRequest =
  | { readonly mode: 'replace'; readonly of: RestoredState }
  | {
      readonly mode: 'clone';
      readonly of: RestoredState;
      readonly slug: string;
      readonly adminEmail: string;
      readonly mask: boolean;
    };

/** The input of `tenant-restore`. */
export interface RestoreInput {
  /** Id or slug. */
  readonly tenant: string;
  /** Id of the row that was inserted before the execution was started. If absent, the input names what to restore. */
  readonly restoreId: string | undefined;
  readonly backupId: string | undefined;
  /** RFC 3339, UTC. */
  readonly at: string | undefined;
  /** The requester; undefined if the execution's starter requested the restore. */
  readonly startedBy: string | undefined;
}

const uuid = z.uuid('must be a UUID');
const text = (what: string) => z.string(`must be ${what}`);

/** Converted to UTC with milliseconds, the precision of RDS's restores. */
const time = z.pipe(
  z.iso.datetime({ offset: true, error: 'must be a time of RFC 3339, such as 2026-01-31T12:00:00Z' }),
  z.transform((text) => new Date(text).toISOString()),
);

/** The body of `POST /tenants/{tenantId}/restores`, before `readRestoreRequest` checks what belongs together. */
export const restoreRequest = z.strictObject(
  {
    backupId: z.optional(uuid),
    at: z.optional(time),
    mode: z.optional(z.enum(['replace', 'clone'], 'must be "replace" or "clone"')),
    slug: z.optional(text('a slug')),
    adminEmail: z.optional(text('an e-mail address')),
    mask: z.optional(z.boolean('must be true or false')),
  },
  'must be a JSON object',
);

/** Validates a client's request. Onboarding validates slug and address of a clone. @throws {InvalidRestoreInput} */
export function readRestoreRequest(body: unknown): RestoreRequest {
  const { backupId, at, mode = 'replace', slug, adminEmail, mask } = parse(restoreRequest, body);
  const of = restoredState({ backupId, at });
  if (mode === 'clone') {
    const missing = Object.entries({ slug, adminEmail }).filter(([, value]) => value === undefined);
    if (slug === undefined || adminEmail === undefined) {
      throw new InvalidRestoreInput(
        missing.map(([path]) => ({ path, message: 'must be given for a clone' })),
      );
    }
    return { mode, of, slug, adminEmail, mask: mask ?? false };
  }
  const superfluous = Object.entries({ slug, adminEmail, mask }).filter(([, value]) => value !== undefined);
  if (superfluous.length > 0) {
    throw new InvalidRestoreInput(superfluous.map(([path]) => ({ path, message: 'is for clones only' })));
  }
  return { mode, of };
}

/** @throws {InvalidRestoreInput} not exactly one of the two is given. */
function restoredState({
  backupId,
  at,
}: {
  backupId?: string | undefined;
  at?: string | undefined;
}): RestoredState {
  if (backupId !== undefined && at === undefined) return { backupId };
  if (at !== undefined && backupId === undefined) return { at };
  throw new InvalidRestoreInput([{ path: 'backupId', message: 'give exactly one of backupId and at' }]);
}

const reference = z
  .string('must be the id or slug of a tenant')
  .check(z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be the id or slug of a tenant'));

const input = z.strictObject(
  {
    tenantId: z.optional(reference),
    slug: z.optional(reference),
    restoreId: z.optional(uuid),
    backupId: z.optional(uuid),
    at: z.optional(time),
    mode: z.optional(z.literal('replace', 'must be "replace": request a clone through the API')),
    startedBy: z.optional(
      z
        .string('must be a string')
        .check(z.minLength(1), z.maxLength(255))
        .check(
          z.refine(
            (value) => !value.includes('\0') && value.isWellFormed(),
            'must not contain NUL or malformed characters',
          ),
        ),
    ),
  },
  'must be a JSON object',
);

/** Validates the input of an execution. @throws {InvalidRestoreInput} it names every wrong field. */
export function readRestoreInput(value: unknown): RestoreInput {
  const { tenantId, slug, restoreId, backupId, at, startedBy } = parse(input, value);
  const tenant = tenantId ?? slug;
  if (tenant === undefined || (tenantId !== undefined && slug !== undefined)) {
    throw new InvalidRestoreInput([{ path: '', message: 'give exactly one of tenantId and slug' }]);
  }
  if (restoreId === undefined) restoredState({ backupId, at });
  return { tenant, restoreId, backupId, at, startedBy };
}

function parse<Schema extends z.ZodMiniType>(schema: Schema, value: unknown): z.output<Schema> {
  const { data, issues } = readInput(schema, value);
  if (!issues) return data;
  throw new InvalidRestoreInput(namedIssues(issues));
}
