/** Milliseconds of one contestant over all rounds. */
export interface Timing {
  readonly p50: number;
  readonly p95: number;
}

export type Contestants<Name extends string> = Readonly<Record<Name, () => Promise<unknown>>>;

export interface Rounds {
  /** Counted runs of each contestant. */
  readonly rounds: number;
  /** Runs before them: code gets compiled, connections and caches warm. */
  readonly warmup: number;
}

/** Milliseconds of each counted run. */
export type Samples<Name extends string> = Record<Name, number[]>;

/**
 * Runs every contestant once per round, one at a time, in an order that is drawn anew for each round: whatever the
 * machine does meanwhile meets all of them alike, and none always follows one that has warmed its caches.
 */
export async function interleave<Name extends string>(
  contestants: Contestants<Name>,
  rounds: Rounds,
): Promise<Record<Name, Timing>> {
  return timings(await collect(contestants, rounds));
}

/** `interleave`, a part of its rounds at a time: what is collected is added to `samples`. */
export async function collect<Name extends string>(
  contestants: Contestants<Name>,
  { rounds, warmup }: Rounds,
  samples: Partial<Samples<Name>> = {},
): Promise<Samples<Name>> {
  const order = Object.entries(contestants) as [Name, () => Promise<unknown>][];
  for (const [name] of order) samples[name] ??= [];
  for (let round = -warmup; round < rounds; round++) {
    shuffle(order);
    for (const [name, run] of order) {
      const start = performance.now();
      await run();
      const elapsed = performance.now() - start;
      if (round >= 0) samples[name]?.push(elapsed);
    }
  }
  return samples as Samples<Name>;
}

export function timings<Name extends string>(samples: Samples<Name>): Record<Name, Timing> {
  const entries = Object.entries<number[]>(samples).map(([name, values]) => [name, timing(values)]);
  return Object.fromEntries(entries) as Record<Name, Timing>;
}

export function timing(samples: readonly number[]): Timing {
  return { p50: quantile(samples, 0.5), p95: quantile(samples, 0.95) };
}

export function quantile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

function shuffle(items: unknown[]): void {
  for (let last = items.length - 1; last > 0; last--) {
    const drawn = Math.floor(Math.random() * (last + 1));
    [items[last], items[drawn]] = [items[drawn], items[last]];
  }
}
