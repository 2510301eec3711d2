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
    // Patterns come from templates, so they are few; the bound is against run-time stacks with tenant ids.
    if (compiled.size > 5_000) compiled.clear();
    compiled.set(key, expression);
  }
  return expression.test(value);
}
