/**
 * Data directories that are made in advance: initdb takes half a second or more, and while the app is being synthesized
 * one processor is mostly idle.
 *
 * States of each spare: being made → complete → taken by one cluster. A half-made one of a killed run is made again, a
 * complete one is taken by the next cluster. Each spare has its own initdb, for the reason in `data-directory.ts`.
 */
import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { initializeDataDirectory } from './data-directory.ts';
import type { PostgresFiles } from './postgres-files.ts';

/** No cluster's directory has such a name: an identifier has no dots, and no region is a number. */
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

  /** Starts to make spares until there are so many. A failure is reported when the cluster makes its own directory. */
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

  /** Uses a spare as the cluster's directory, unless it has one already or none is left. */
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
