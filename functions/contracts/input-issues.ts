/** What is wrong with one field of an input; `path` is empty for the input as a whole. */
export interface NamedIssue {
  readonly path: string;
  readonly message: string;
}

/**
 * The message of an error about an input: its first issues. Bounded, because an input may have any number of unknown fields
 * and Step Functions limits the length of a cause.
 */
export function invalidInputMessage(issues: readonly NamedIssue[]): string {
  const named = issues
    .slice(0, 10)
    .map(({ path, message }) => `${path.slice(0, 100) || 'input'}: ${message}`);
  return `The input is not valid: ${named.join('; ')}`;
}

/** The issues of a schema of zod, with dotted paths. */
export function namedIssues(
  issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[],
): NamedIssue[] {
  return issues.map(({ path, message }) => ({ path: path.join('.'), message }));
}
