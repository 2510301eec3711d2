/** An IAM policy as templates and AWS write it; every list may also be a single value. */
export interface PolicyDocument {
  Version?: string;
  Statement: Statement | Statement[];
}

export interface Statement {
  Sid?: string;
  Effect: 'Allow' | 'Deny';
  Action?: string | string[];
  NotAction?: string | string[];
  Resource?: string | string[];
  NotResource?: string | string[];
  /** Only in policies of resources. */
  Principal?: '*' | Record<string, string | string[]>;
  Condition?: Record<string, Record<string, unknown>>;
}

/** The list in a member that may also be a single value, or absent. */
export function asList<T>(value: T | T[] | undefined): T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

const compiled = new Map<string, RegExp>();

/**
 * Matches IAM's wildcards: `*` is any run of characters, `?` exactly one. Everything else is literal.
 * Actions and condition operators ignore case, resources do not.
 */
export function matchesWildcard(pattern: string, value: string, ignoreCase = false): boolean {
  if (pattern === '*') return true;
  const key = (ignoreCase ? 'i' : 's') + pattern;
  let expression = compiled.get(key);
  if (!expression) {
    const source = pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    expression = new RegExp(`^${source}$`, ignoreCase ? 'is' : 's');
    // Patterns come from templates, so they are few; the limit is for run-time stacks with tenant ids.
    if (compiled.size > 5_000) compiled.clear();
    compiled.set(key, expression);
  }
  return expression.test(value);
}
