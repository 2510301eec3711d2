import * as z from 'zod/mini';
import { DATABASE_SIZES, type DatabaseSize } from '../contracts/database-size.ts';
import type { Tier } from '../contracts/tenant.ts';
import { jsonPointer, readInput } from '../resources/read-input.ts';
import { InvalidMoveInput } from './errors.ts';

/** The target of a request for a move: a tier, a cell, a residency or, for a tenant with its own database, a size. */
export type MoveTarget =
  | { readonly tier: Tier; readonly size?: DatabaseSize }
  | { readonly cell: string }
  | { readonly residency: string; readonly size?: DatabaseSize }
  | { readonly size: DatabaseSize };

/** The body of `POST /tenants/{tenantId}/moves`. */
export interface MoveRequest {
  readonly target: MoveTarget;
  /** Overrides the limits of the target tier. */
  readonly force: boolean;
  readonly dryRun: boolean;
}

/** The input of `tenant-move`. */
export interface MoveInput {
  /** Id or slug. */
  readonly tenant: string;
  readonly target: MoveTarget;
  readonly force: boolean;
  /** Id of the record that was made before the execution was started. */
  readonly moveId: string | undefined;
  /** Who requested the move, when that was not the one who started the execution. */
  readonly startedBy: string | undefined;
}

const name = (what: string) =>
  z.string(`must be ${what}`).check(z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, `must be ${what}`));

const target = {
  targetTier: z.optional(z.enum(['starter', 'business', 'enterprise'], 'is not a tier')),
  targetCell: z.optional(name('the id of a cell')),
  targetResidency: z.optional(name('a residency such as "us"')),
  targetSize: z.optional(z.enum(DATABASE_SIZES, `must be one of ${DATABASE_SIZES.join(', ')}`)),
  force: z.optional(z.boolean('must be true or false')),
};

/** The body of `POST /tenants/{tenantId}/moves`, before `readMoveRequest` counts its targets. */
export const moveRequest = z.strictObject(
  { ...target, dryRun: z.optional(z.boolean('must be true or false')) },
  'must be a JSON object',
);

const input = z.strictObject(
  {
    ...target,
    tenantId: name('the id or slug of a tenant'),
    // The API makes dry runs; an execution's input may only say `false`.
    dryRun: z.optional(z.literal(false, 'an execution makes no dry run')),
    moveId: z.optional(z.uuid('must be a UUID')),
    startedBy: z.optional(
      z
        .string('must be a string')
        .check(z.minLength(1), z.maxLength(255))
        .check(
          z.refine(
            (text) => !text.includes('\0') && text.isWellFormed(),
            'must not contain NUL or malformed characters',
          ),
        ),
    ),
  },
  'must be a JSON object',
);

/** Checks a client's request. @throws {InvalidMoveInput} naming every wrong field. */
export function readMoveRequest(body: unknown): MoveRequest {
  const { force = false, dryRun = false, ...asked } = parse(moveRequest, body);
  return { target: targetOf(asked), force, dryRun };
}

/** Checks the input of an execution. @throws {InvalidMoveInput} naming every wrong field. */
export function readMoveInput(value: unknown): MoveInput {
  const { tenantId, force = false, moveId, startedBy, ...asked } = parse(input, value);
  return { tenant: tenantId, target: targetOf(asked), force, moveId, startedBy };
}

/** The execution's input that `readMoveInput` reads. */
export function writeMoveInput({ tenant, target: to, force, moveId, startedBy }: MoveInput) {
  return {
    tenantId: tenant,
    ...('tier' in to ? { targetTier: to.tier } : {}),
    ...('cell' in to ? { targetCell: to.cell } : {}),
    ...('residency' in to ? { targetResidency: to.residency } : {}),
    ...('size' in to ? { targetSize: to.size } : {}),
    ...(force ? { force } : {}),
    ...(moveId ? { moveId } : {}),
    ...(startedBy ? { startedBy } : {}),
  };
}

interface Asked {
  readonly targetTier?: Tier | undefined;
  readonly targetCell?: string | undefined;
  readonly targetResidency?: string | undefined;
  readonly targetSize?: DatabaseSize | undefined;
}

function targetOf({ targetTier, targetCell, targetResidency, targetSize }: Asked): MoveTarget {
  const given = [targetTier, targetCell, targetResidency].filter((each) => each !== undefined);
  if (given.length > 1 || (given.length === 0 && targetSize === undefined)) {
    const message = 'give exactly one of targetTier, targetCell and targetResidency, or a targetSize';
    throw new InvalidMoveInput([{ path: '', message }]);
  }
  const size = targetSize === undefined ? {} : { size: targetSize };
  if (targetTier !== undefined) {
    if (targetTier !== 'enterprise')
      requireNoSize(targetSize, `the ${targetTier} tier has no database of its own`);
    return { tier: targetTier, ...size };
  }
  if (targetCell !== undefined) {
    requireNoSize(targetSize, 'a cell takes no tenant with a database of its own');
    return { cell: targetCell };
  }
  if (targetResidency !== undefined) return { residency: targetResidency, ...size };
  return { size: targetSize as DatabaseSize };
}

function requireNoSize(targetSize: DatabaseSize | undefined, message: string): void {
  if (targetSize === undefined) return;
  throw new InvalidMoveInput([{ path: 'targetSize', pointer: '/targetSize', message }]);
}

function parse<Schema extends z.ZodMiniType>(schema: Schema, value: unknown): z.output<Schema> {
  const { data, issues } = readInput(schema, value);
  if (!issues) return data;
  throw new InvalidMoveInput(
    issues.map(({ path, message }) => ({ path: path.join('.'), pointer: jsonPointer(path), message })),
  );
}
