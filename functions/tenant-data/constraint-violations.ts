import { sqlStateOf } from '../database/session/sql-state.ts';
import { InvalidReference, ResourceConflict, ResourceNotFound } from '../resources/errors.ts';
import { toCamelCase } from '../resources/field-names.ts';
import type { Resource, Values } from './resource.ts';

const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

/**
 * What a constraint's refusal of a new or changed row means to a client. Anything else comes back as it is.
 * @param values the row's columns as far as the client named them; `parents` those that came from the path.
 */
export function explainRefusedRow(
  error: unknown,
  resource: Resource,
  values: Values,
  parents: Values,
): unknown {
  const constraint = constraintOf(error);
  if (constraint === undefined) return error;
  const named = (columns: Values) => longestMatch(Object.keys(columns), constraint);
  if (sqlStateOf(error) === UNIQUE_VIOLATION) {
    const column = named(values);
    const detail = column
      ? `Another ${resource.type.replace('_', ' ')} has this ${toCamelCase(column)}.`
      : `The ${resource.type.replace('_', ' ')} exists already.`;
    return new ResourceConflict(detail, column && toCamelCase(column), { cause: error });
  }
  const column = named({ ...values, ...parents });
  if (column && column in parents) return new ResourceNotFound('the parent does not exist', { cause: error });
  return new InvalidReference('refers to a resource that does not exist', column && toCamelCase(column), {
    cause: error,
  });
}

/** What a constraint's refusal of a deletion means to a client. */
export function explainRefusedDelete(error: unknown, resource: Resource): unknown {
  if (constraintOf(error) === undefined) return error;
  return new ResourceConflict(
    `Other resources still refer to this ${resource.type.replace('_', ' ')}.`,
    undefined,
    {
      cause: error,
    },
  );
}

function constraintOf(error: unknown): string | undefined {
  const code = sqlStateOf(error);
  if (code !== UNIQUE_VIOLATION && code !== FOREIGN_KEY_VIOLATION) return undefined;
  return (error as { constraint?: string }).constraint ?? '';
}

/** PostgreSQL names the constraint, and its name holds the column's: `employees_manager_id_fkey`. */
function longestMatch(columns: readonly string[], constraint: string): string | undefined {
  return columns
    .filter((column) => constraint.includes(`_${column}_`))
    .sort((left, right) => right.length - left.length)[0];
}
