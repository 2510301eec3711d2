import type { HttpRoute } from './http-api.ts';

export interface RouteMatch {
  route: HttpRoute;
  pathParameters: Record<string, string>;
}

interface Pattern {
  route: HttpRoute;
  method: string;
  segments: string[];
  /** Compared left to right: a plain segment before a parameter before a greedy one. */
  rank: string;
}

/** Finds routes as API Gateway does: the most specific path wins, then a named method before ANY, `$default` last. */
export class RouteTable {
  readonly #patterns: Pattern[];
  readonly #fallback: HttpRoute | undefined;

  constructor(routes: HttpRoute[]) {
    this.#fallback = routes.find(({ key }) => key === '$default');
    this.#patterns = routes
      .filter(({ key }) => key !== '$default')
      .map((route) => {
        const [method, path] = route.key.split(' ') as [string, string];
        const segments = path.split('/').slice(1);
        return {
          route,
          method,
          segments,
          rank: segments.map(rankOf).join('') + (method === 'ANY' ? '1' : '0'),
        };
      })
      .sort((left, right) => (left.rank < right.rank ? -1 : left.rank > right.rank ? 1 : 0));
  }

  /** @param segments of the decoded path, without the leading slash */
  match(method: string, segments: string[]): RouteMatch | undefined {
    for (const pattern of this.#patterns) {
      if (pattern.method !== method && pattern.method !== 'ANY') continue;
      const pathParameters = parametersOf(pattern.segments, segments);
      if (pathParameters) return { route: pattern.route, pathParameters };
    }
    return this.#fallback && { route: this.#fallback, pathParameters: {} };
  }
}

function rankOf(segment: string): string {
  if (segment.endsWith('+}')) return '2';
  return segment.startsWith('{') ? '1' : '0';
}

function parametersOf(pattern: string[], segments: string[]): Record<string, string> | undefined {
  const greedy = pattern.at(-1)?.endsWith('+}') ?? false;
  if (greedy ? segments.length < pattern.length : segments.length !== pattern.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const isLastGreedy = greedy && index === pattern.length - 1;
    const actual = isLastGreedy ? segments.slice(index).join('/') : segments[index]!;
    if (!expected.startsWith('{')) {
      if (expected !== actual) return undefined;
    } else if (actual === '') return undefined;
    else parameters[expected.slice(1, isLastGreedy ? -2 : -1)] = actual;
  }
  return parameters;
}
