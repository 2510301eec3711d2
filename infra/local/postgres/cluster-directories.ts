/**
 * The directory of each cluster's server. A cluster is identified by its ARN; its directory has the cluster's name, or
 * `<identifier>.<region>` when another region's cluster of that identifier has the plain name already.
 *
 * States of each name: free → held by one ARN (from the first `of`, stored in the cluster's own record) → free
 * (`release`). Invariant: no two ARNs hold one name. A directory without a record has no data that was ever
 * acknowledged, so it is free.
 */
import { existsSync, readdirSync } from 'node:fs';
import { CorruptState } from '../errors.ts';
import { readJson } from '../state/state-file.ts';
import { dataDirectory } from './data-directory.ts';

export class ClusterDirectories {
  readonly #names = new Map<string, string>();

  /** @param clusters the parent directory */
  constructor(clusters: string) {
    for (const name of readdirSync(clusters)) {
      const arn = recordedArn(dataDirectory(clusters, name).record);
      if (arn) this.#names.set(arn, name);
    }
  }

  /** ARN and name of each held directory. */
  entries(): [arn: string, name: string][] {
    return [...this.#names];
  }

  of({ arn, clusterIdentifier }: { arn: string; clusterIdentifier: string }): string {
    let name = this.#names.get(arn);
    if (name === undefined) {
      const taken = new Set(this.#names.values());
      // An identifier has no dots.
      name = taken.has(clusterIdentifier) ? `${clusterIdentifier}.${arn.split(':')[3]}` : clusterIdentifier;
      this.#names.set(arn, name);
    }
    return name;
  }

  /** undefined when it has none. */
  named(arn: string): string | undefined {
    return this.#names.get(arn);
  }

  release(arn: string): void {
    this.#names.delete(arn);
  }
}

/** A damaged record stops the start of its own cluster with an error, and of no other. */
function recordedArn(record: string): string | undefined {
  if (!existsSync(record)) return undefined;
  try {
    return readJson<{ arn?: string }>(record, {}).arn;
  } catch (cause) {
    if (cause instanceof CorruptState) return undefined;
    throw cause;
  }
}
