import { asList, matchesWildcard } from './policy-document.ts';

/** Condition keys of a request. Keys are compared case-insensitively. */
export type ConditionContext = ReadonlyMap<string, string[]>;

/** Builds the context with keys in lower case. */
export function conditionContext(
  ...parts: (Record<string, string | string[]> | undefined)[]
): ConditionContext {
  const context = new Map<string, string[]>();
  for (const part of parts) {
    for (const [key, value] of Object.entries(part ?? {})) context.set(key.toLowerCase(), asList(value));
  }
  return context;
}

type Comparison = (value: string, pattern: string) => boolean;

const equals: Comparison = (value, pattern) => value === pattern;
const equalsIgnoringCase: Comparison = (value, pattern) => value.toLowerCase() === pattern.toLowerCase();
const like: Comparison = (value, pattern) => matchesWildcard(pattern, value);
/** ARNs are compared part by part: a wildcard never matches a colon before the resource part. */
const arnLike: Comparison = (value, pattern) => {
  const values = arnParts(value);
  const patterns = arnParts(pattern);
  return patterns.every((part, index) => matchesWildcard(part, values[index] ?? ''));
};

function arnParts(arn: string): string[] {
  const parts = arn.split(':');
  return [...parts.slice(0, 5), parts.slice(5).join(':')];
}

const OPERATORS: Record<string, { compare: Comparison; negated: boolean }> = {
  stringequals: { compare: equals, negated: false },
  stringnotequals: { compare: equals, negated: true },
  stringequalsignorecase: { compare: equalsIgnoringCase, negated: false },
  stringnotequalsignorecase: { compare: equalsIgnoringCase, negated: true },
  stringlike: { compare: like, negated: false },
  stringnotlike: { compare: like, negated: true },
  arnequals: { compare: arnLike, negated: false },
  arnlike: { compare: arnLike, negated: false },
  arnnotequals: { compare: arnLike, negated: true },
  arnnotlike: { compare: arnLike, negated: true },
  bool: { compare: equalsIgnoringCase, negated: false },
};

/**
 * Evaluates all conditions of a statement. `unknown` when an operator is not supported: the caller then refuses access.
 */
export function conditionsHold(
  conditions: Record<string, Record<string, unknown>> | undefined,
  context: ConditionContext,
): boolean | 'unknown' {
  for (const [operator, tests] of Object.entries(conditions ?? {})) {
    for (const [key, expected] of Object.entries(tests)) {
      const held = holds(
        operator.toLowerCase(),
        asList(expected).map(String),
        context.get(key.toLowerCase()),
      );
      if (held !== true) return held;
    }
  }
  return true;
}

function holds(operator: string, patterns: string[], actual: string[] | undefined): boolean | 'unknown' {
  if (operator === 'null') return patterns.includes(String(actual === undefined));
  const quantifier = /^(forallvalues|foranyvalue):/.exec(operator)?.[1];
  let name = quantifier ? operator.slice(quantifier.length + 1) : operator;
  const ifExists = name.endsWith('ifexists');
  if (ifExists) name = name.slice(0, -'ifexists'.length);
  const test = OPERATORS[name];
  if (!test) return 'unknown';

  const matches = (value: string): boolean =>
    patterns.some((pattern) => test.compare(value, pattern)) !== test.negated;
  if (quantifier === 'forallvalues') return (actual ?? []).every(matches);
  if (actual === undefined || actual.length === 0)
    return ifExists || (test.negated && quantifier === undefined);
  return quantifier === undefined && test.negated ? actual.every(matches) : actual.some(matches);
}
