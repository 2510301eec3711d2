import * as z from 'zod/mini';

/** What is wrong with one place of an input. */
export interface InputIssue {
  readonly path: readonly PropertyKey[];
  /** Goes after the name of the place: `must be a string`. */
  readonly message: string;
}

/** The input as the schema gives it, or every place where it is wrong. */
export type ReadInput<Output> =
  | { readonly data: Output; readonly issues?: never }
  | { readonly data?: never; readonly issues: readonly InputIssue[] };

/**
 * Validates what a client sends. No wording of the library reaches the client: where a schema has no text of its own,
 * this file has one for each of the library's codes.
 */
export function readInput<Schema extends z.core.$ZodType>(
  schema: Schema,
  value: unknown,
): ReadInput<z.output<Schema>> {
  const result = z.safeParse(schema, value, { error: describe, reportInput: true });
  if (result.success) return { data: result.data };
  return {
    issues: result.error.issues.flatMap((issue): InputIssue[] => {
      const { path } = issue;
      if (issue.code === 'unrecognized_keys') {
        return issue.keys.map((key) => ({ path: [...path, key], message: 'is not known' }));
      }
      // Whatever a schema says of the type: there is nothing that could have one.
      const isAbsent = issue.input === undefined && issue.code !== 'custom';
      return [{ path, message: isAbsent ? 'is required' : issue.message }];
    }),
  };
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};
const UNITS: Readonly<Record<string, string>> = { string: ' characters', array: ' entries' };

function describe(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${TYPES[issue.expected] ?? 'of another type'}`;
    case 'too_big':
      return `must be ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${UNITS[issue.origin] ?? ''}`;
    case 'too_small':
      return `must be ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${UNITS[issue.origin] ?? ''}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`;
    case 'invalid_format':
      return 'does not have the form that is expected';
    default:
      return 'is not valid';
  }
}

/** The JSON pointer of a place in a document (RFC 6901); of the whole document, an empty text. */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
