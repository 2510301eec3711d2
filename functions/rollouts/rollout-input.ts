import * as z from 'zod/mini';
import { jsonPointer, readInput } from '../resources/read-input.ts';
import { InvalidRolloutInput } from './errors.ts';

/** What a rollout covers: all targets that lag, without those of some tenants. */
export interface RolloutRequest {
  /** Ids or slugs of tenants. */
  readonly except: readonly string[];
}

/** The input of `schema-rollout`. */
export interface RolloutInput extends RolloutRequest {
  /** Id of the record that was made before the execution was started. */
  readonly rolloutId: string | undefined;
  /** Who requested it, when that was not the one who started the execution. */
  readonly startedBy: string | undefined;
}

const MAX_EXCEPT = 200;
const MUST_BE_TENANT = 'must be the id or slug of a tenant';

const except = z.optional(
  z
    .array(
      z.string(MUST_BE_TENANT).check(z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, MUST_BE_TENANT)),
      'must be a list of ids or slugs',
    )
    .check(z.maxLength(MAX_EXCEPT, `must have at most ${MAX_EXCEPT} entries`)),
);

const region = z.optional(
  z.string('must be the key of a region').check(z.regex(/^[a-z0-9-]{1,50}$/, 'must be the key of a region')),
);
/** The body of `POST /rollouts`. */
export const rolloutRequest = z.strictObject({ except, region }, 'must be a JSON object');
const input = z.strictObject(
  {
    except,
    rolloutId: z.optional(z.uuid('must be a UUID')),
    startedBy: z.optional(z.string('must be a string').check(z.maxLength(255))),
  },
  'must be a JSON object',
);

/** Reads the body of `POST /rollouts`. @throws {InvalidRolloutInput} */
export function readRolloutRequest(body: unknown): RolloutRequest & { region: string | undefined } {
  const { except: left = [], region: key } = validated(rolloutRequest, body === undefined ? {} : body);
  return { except: left, region: key };
}

/** Reads the input of an execution. @throws {InvalidRolloutInput} */
export function readRolloutInput(value: unknown): RolloutInput {
  const { except: left = [], rolloutId, startedBy } = validated(input, value ?? {});
  return { except: left, rolloutId, startedBy };
}

function validated<Schema extends z.core.$ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const { data, issues } = readInput(schema, value);
  if (issues) {
    throw new InvalidRolloutInput(
      issues.map(({ path, message }) => ({ pointer: jsonPointer(path), message })),
    );
  }
  return data;
}
