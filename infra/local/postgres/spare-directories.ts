/**
 * Data directories made before anything needs them: initdb takes half a second or more, and while the app is being
 * synthesized one processor has little to do.
 *
 * Of each spare: being made → whole → taken by one cluster. What a killed run left half-made is made anew, what it left
 * whole is taken by the next cluster. Each spare is its own initdb, for the reason that `data-directory.ts` gives.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { initializeDataDirectory } from './data-directory.ts';
import type { PostgresFiles } from './postgres-files.ts';

/** No cluster's directory is called so: an identifier has no dots, and no region is a number. */
const NAME = /^spare\.\d+$/;

export class SpareDirectories {
  readonly #files: PostgresFiles;
  readonly #superuserPassword: string;
  readonly #isArchived: boolean;
  /** In the order in which they become whole, as far as that is known. */
  #spares: { name: string; whole: Promise<boolean> }[];

  constructor(files: PostgresFiles, superuserPassword: string, isArchived: boolean) {
    this.#files = files;
    this.#superuserPassword = superuserPassword;
    this.#isArchived = isArchived;
    this.#spares = readdirSync(files.clusters)
      .filter((name) => NAME.test(name) && existsSync(join(files.clusters, name, 'initialized')))
      .map((name) => ({ name, whole: Promise.resolve(true) }));
  }

  /** Begins to make spares until there are so many. A failure shows where the cluster makes its own directory. */
  prepare(count: number): void {
    const taken = new Set(this.#spares.map(({ name }) => name));
    for (let number = 1; this.#spares.length < count; number++) {
      const name = `spare.${number}`;
      if (taken.has(name)) continue;
      const whole = initializeDataDirectory(
        this.#files,
        name,
        this.#superuserPassword,
        this.#isArchived,
      ).then(
        () => true,
        () => false,
      );
      this.#spares.push({ name, whole });
    }
  }

  /** Makes the cluster's directory of a spare, unless it has one already or there is none left. */
  async adopt(name: string): Promise<void> {
    const home = join(this.#files.clusters, name);
    if (existsSync(home)) return;
    const spare = this.#spares.shift();
    if (spare && (await spare.whole)) renameSync(join(this.#files.clusters, spare.name), home);
  }

  /** Resolves when no initdb runs any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#spares.map(({ whole }) => whole));
  }
}
