import { sqlStateOf } from '../database/session/sql-state.ts';
import { InvalidReference, ResourceConflict, ResourceNotFound } from '../resources/errors.ts';
import { toCamelCase } from '../resources/field-names.ts';
import type { Resource, Values } from './resource.ts';

const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

/**
 * The client's error for a constraint that refuses a new or changed row. Other errors are returned unchanged.
 * @param values the columns that the client set; `parents`: the columns that came from the path.
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
    if (resource.conflict) return new ResourceConflict(resource.conflict, undefined, { cause: error });
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

/** The client's error for a constraint that refuses a deletion. */
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
