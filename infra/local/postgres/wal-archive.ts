/**
 * What a cluster can be recovered from to a point in time: `archive/` in the cluster's directory.
 *
 *   wal/<segment>            WAL that the server has archived (module basic_archive: written aside, synced, renamed)
 *   bases/<number>.zst       a base backup: the packed data directory
 *   bases/<number>.json      its record, written last: without it the base backup is garbage
 *
 * Of each base backup: being taken → whole (recorded) → superseded (two newer ones are whole) → removed.
 * Invariants: WAL is kept from the start of the oldest base backup on, without a gap; at least one base backup is kept
 * once there is one; one that a recovery reads is never removed. So a process that is killed at any time leaves an
 * archive that is as usable as before.
 *
 * Bound: a base backup is due when the WAL since the newest one reaches the size of the data, at least `RENEWAL_BYTES`.
 * Two base backups and the WAL since the older one then stay below {@link archiveBound}. What is written while a base
 * backup is being taken comes on top of it for as long as that takes.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeDurably } from '../state/state-file.ts';
import { give, type PostgresFiles } from './postgres-files.ts';

/** WAL, in bytes, after which a base backup of a small database is due. */
const RENEWAL_BYTES = 128 * 1024 * 1024;

/** What the archive of a cluster with so much data takes at most, in bytes. */
export function archiveBound(dataBytes: number, renewalBytes = RENEWAL_BYTES): number {
  return 4 * Math.max(renewalBytes, dataBytes);
}

export interface BaseBackup {
  number: number;
  /** Content of the file `backup_label` that recovery begins from. */
  label: string;
  /** First and last WAL segment that recovery needs at least. */
  startSegment: string;
  stopSegment: string;
  /** Epoch milliseconds: no earlier time can be recovered from it. */
  stoppedAt: number;
  /** Of the data directory, before compression. */
  dataBytes: number;
}

/** Names of WAL segments: timeline, then position. */
const SEGMENT = /^[0-9A-F]{24}$/;
const positionOf = (segment: string): string => segment.slice(8, 24);

export class WalArchive {
  readonly #home: string;
  readonly #renewalBytes: number;
  /** How many recoveries read a base backup, by its number. */
  readonly #readers = new Map<number, number>();

  /** @param home the cluster's directory */
  constructor(home: string, renewalBytes = RENEWAL_BYTES) {
    this.#home = join(home, 'archive');
    this.#renewalBytes = renewalBytes;
  }

  get walDirectory(): string {
    return join(this.#home, 'wal');
  }

  baseFile(number: number): string {
    return join(this.#home, 'bases', `${number}.zst`);
  }

  /** Makes it, and removes what a killed run left half-written. Call before the server starts. */
  prepare(files: PostgresFiles): void {
    for (const directory of [this.#home, this.walDirectory, join(this.#home, 'bases')]) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      give(directory, files.user);
    }
    for (const name of readdirSync(this.walDirectory)) {
      // As basic_archive calls what it has not renamed yet.
      if (name.startsWith('archtemp.')) rmSync(join(this.walDirectory, name), { force: true });
    }
    const whole = new Set(this.bases().map(({ number }) => String(number)));
    for (const name of readdirSync(join(this.#home, 'bases'))) {
      if (!whole.has(name.split('.', 1)[0] ?? '')) rmSync(join(this.#home, 'bases', name), { force: true });
    }
  }

  /** Erases it: a server that runs without archiving leaves a gap in the WAL. */
  erase(): void {
    rmSync(this.#home, { recursive: true, force: true });
  }

  /** Whole base backups, oldest first. */
  bases(): BaseBackup[] {
    const directory = join(this.#home, 'bases');
    if (!existsSync(directory)) return [];
    return readdirSync(directory)
      .filter((name) => /^\d+\.json$/.test(name))
      .map((name) => readJson<BaseBackup>(join(directory, name), {} as BaseBackup))
      .sort((one, other) => one.number - other.number);
  }

  /** Records a base backup whose file is durable and whose WAL is archived: from now on it counts. */
  record(base: BaseBackup): void {
    writeDurably(join(this.#home, 'bases', `${base.number}.json`), JSON.stringify(base));
  }

  has(segment: string): boolean {
    return existsSync(join(this.walDirectory, segment));
  }

  get isRenewalDue(): boolean {
    const newest = this.bases().at(-1);
    if (!newest) return true;
    return this.#walBytes(newest.startSegment) >= Math.max(this.#renewalBytes, newest.dataBytes);
  }

  /** Of all its files. */
  get bytes(): number {
    const sizes = (directory: string) =>
      readdirSync(join(this.#home, directory)).map(
        (name) => statSync(join(this.#home, directory, name), { throwIfNoEntry: false })?.size ?? 0,
      );
    return [...sizes('wal'), ...sizes('bases')].reduce((sum, size) => sum + size, 0);
  }

  /** Removes superseded base backups and the WAL that no base backup needs. */
  prune(): void {
    const bases = this.bases();
    const newest = bases.at(-1);
    if (!newest) return;
    const isOver = () => this.bytes > archiveBound(newest.dataBytes, this.#renewalBytes);
    for (const base of bases.slice(0, -2)) this.#remove(base);
    const kept = this.bases();
    if (kept.length > 1) {
      this.#removeWalBefore(kept[0]!.startSegment);
      // More was written than one base backup is meant to cover.
      if (isOver()) this.#remove(kept[0]!);
    }
    this.#removeWalBefore(this.bases()[0]!.startSegment);
  }

  /** The newest base backup from which that time can be recovered; it stays until `release` is called. */
  reserve(time: Date): { base: BaseBackup; release(): void } | undefined {
    const base = this.bases().findLast(({ stoppedAt }) => stoppedAt <= time.getTime());
    if (!base) return undefined;
    const { number } = base;
    this.#readers.set(number, (this.#readers.get(number) ?? 0) + 1);
    return { base, release: () => this.#readers.set(number, (this.#readers.get(number) ?? 1) - 1) };
  }

  #remove({ number }: BaseBackup): void {
    if ((this.#readers.get(number) ?? 0) > 0) return;
    // The record first: what is left without it is garbage.
    rmSync(join(this.#home, 'bases', `${number}.json`), { force: true });
    rmSync(this.baseFile(number), { force: true });
  }

  /** Also the backup history files of those segments; a timeline's history file is kept. */
  #removeWalBefore(segment: string): void {
    for (const name of readdirSync(this.walDirectory)) {
      const own = name.split('.', 1)[0] ?? '';
      if (SEGMENT.test(own) && positionOf(own) < positionOf(segment)) {
        rmSync(join(this.walDirectory, name), { force: true });
      }
    }
  }

  #walBytes(from: string): number {
    const segments = readdirSync(this.walDirectory).filter(
      (name) => SEGMENT.test(name) && positionOf(name) >= positionOf(from),
    );
    const [first] = segments;
    if (first === undefined) return 0;
    return segments.length * (statSync(join(this.walDirectory, first), { throwIfNoEntry: false })?.size ?? 0);
  }
}
