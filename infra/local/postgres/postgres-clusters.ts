/**
 * The PostgreSQL servers of this platform, one per Aurora cluster, which its ARN identifies.
 *
 * Of each cluster: unknown → (create) initialized, of a spare directory where there is one, and running ⇄ stopped →
 * (remove) unknown; running → (ends by itself) reviving → running, however often that takes. Known ones are started
 * early by `startKnown`, while the app is still being synthesized; `create` then finds them running.
 * Of a recovered one: unknown → (recover) being recovered → stopped ⇄ (start, halt) running → (remove) unknown.
 * One whose recovery was killed is unknown at the next start; `recover` begins it anew.
 * Invariants: operations on one cluster run one after the other; `cluster.json` remembers a cluster only once its
 * data directory is whole; a port is kept for as long as nobody else takes it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientConfig } from 'pg';
import { PostgresError, reasonOf } from '../errors.ts';
import type {
  ClusterServer,
  ClusterSpec,
  Clusters,
  Log,
  RecoverySpec,
  RestorableWindow,
  StateFile,
} from '../model.ts';
import { readJson, writeDurably } from '../state/state-file.ts';
import { type ArchivedCluster, ArchiveUpkeep } from './archive-upkeep.ts';
import { archiveUntil, takeBaseBackup } from './base-backup.ts';
import { ClusterDirectories } from './cluster-directories.ts';
import {
  configureDataDirectory,
  dataDirectory,
  initializeDataDirectory,
  markInitialized,
  superuserName,
  writeHostBasedAuthentication,
} from './data-directory.ts';
import { freePort } from './free-port.ts';
import type { LocalCertificates } from './local-certificates.ts';
import { provisionMasterUser } from './master-user.ts';
import { endRecovery, prepareRecovery } from './point-in-time-recovery.ts';
import { give, type PostgresFiles } from './postgres-files.ts';
import { type ServerProcess, startServer, stopStaleServer } from './server-process.ts';
import { canArchive, hostBasedAuthentication, serverSettings } from './server-settings.ts';
import { SpareDirectories } from './spare-directories.ts';
import { WalArchive } from './wal-archive.ts';

type ClusterRecord = Omit<ClusterSpec, 'masterPassword'> & {
  port: number;
  /** It was halted and stays so when the platform starts again. */
  isHalted?: boolean;
  /** Its data are not whole: it is being recovered, or that was killed. */
  isRecovering?: boolean;
};

export interface ArchivingOptions {
  /** Whether the servers archive their WAL, so that they can be recovered to a point in time. */
  archives?: boolean;
  /** WAL after which a base backup is due, in bytes; see `wal-archive.ts`. */
  renewalBytes?: number | undefined;
}

/** How long a recovery may take, in ms. */
const RECOVERY_LIMIT = 30 * 60_000;

/** Pause between two attempts to restart a server, in ms. */
const revivalPauses = { first: 500, longest: 30_000 };
/** Limit of one restart; between two of them other operations on the cluster may run. */
const revivalAttempts = 5;

interface Known {
  record: ClusterRecord;
  process: ServerProcess;
}

export class PostgresClusters implements Clusters {
  readonly #files: PostgresFiles;
  readonly #certificates: LocalCertificates;
  readonly #log: Log;
  readonly #superuserPassword: string;
  readonly #spares: SpareDirectories;
  readonly #directories: ClusterDirectories;
  readonly #known = new Map<string, Known>();
  /** Clusters that ended unexpectedly and are not running again yet, with their state. */
  readonly #reviving = new Map<string, Known>();
  /** Roles that may not sign in, by the cluster's ARN. */
  readonly #refused = new Map<string, readonly string[]>();
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #promisedPorts = new Set<number>();
  readonly #stopping = new AbortController();
  readonly #archiving: ArchivingOptions;
  /** By the cluster's ARN. */
  readonly #archives = new Map<string, WalArchive>();
  readonly #upkeep: ArchiveUpkeep;

  /** @throws {PostgresError} when these binaries cannot archive */
  constructor(
    files: PostgresFiles,
    certificates: LocalCertificates,
    state: StateFile,
    log: Log,
    archiving: ArchivingOptions = {},
  ) {
    if (archiving.archives && !canArchive(files.bin)) {
      throw new PostgresError(
        'these PostgreSQL binaries have no basic_archive, which point-in-time recovery needs: set STRATA_PITR=off',
      );
    }
    this.#files = files;
    this.#archiving = archiving;
    this.#upkeep = new ArchiveUpkeep(() => this.#archivedClusters(), log);
    this.#certificates = certificates;
    this.#log = log;
    this.#directories = new ClusterDirectories(files.clusters);
    const remembered = state.load<{ password?: string }>('postgres-superuser', {}).password;
    this.#superuserPassword = remembered ?? randomBytes(24).toString('base64url');
    if (!remembered) state.save('postgres-superuser', { password: this.#superuserPassword });
    this.#spares = new SpareDirectories(files, this.#superuserPassword, archiving.archives ?? false);
  }

  /** True when an earlier run had clusters here. */
  get hasKnown(): boolean {
    return this.#directories.entries().length > 0;
  }

  /** Starts to make data directories for clusters that will be created soon. */
  prepare(count: number): void {
    this.#spares.prepare(count);
  }

  /** Starts every cluster of an earlier run at once. Failures are kept for `create`, which tries again. */
  async startKnown(): Promise<void> {
    await Promise.allSettled(
      this.#directories.entries().map(([arn, name]) =>
        this.#inTurn(arn, async () => {
          const { record } = dataDirectory(this.#files.clusters, name);
          const remembered = readJson<ClusterRecord>(record, {} as ClusterRecord);
          if (!remembered.isHalted) await this.#run(remembered);
        }),
      ),
    );
  }

  create(spec: ClusterSpec): Promise<ClusterServer> {
    return this.#inTurn(spec.arn, async () => {
      const { masterPassword, ...rest } = spec;
      const name = this.#directories.of(spec);
      await this.#spares.adopt(name);
      await initializeDataDirectory(this.#files, name, this.#superuserPassword, this.#archiving.archives);
      const known = await this.#run({ ...rest, port: this.#known.get(spec.arn)?.record.port ?? 0 });
      try {
        await provisionMasterUser(this.#superuserOf(known, 'postgres'), { ...rest, masterPassword });
      } catch (cause) {
        throw new PostgresError(`database cluster ${name} refused its master user: ${reasonOf(cause)}`);
      }
      return this.#serverOf(known);
    });
  }

  byArn(arn: string): ClusterServer | undefined {
    const known = this.#known.get(arn) ?? this.#reviving.get(arn);
    return known && this.#serverOf(known);
  }

  list(): ClusterServer[] {
    return [...this.#known.values(), ...this.#reviving.values()].map((known) => this.#serverOf(known));
  }

  remove(arn: string): Promise<void> {
    return this.#inTurn(arn, async () => {
      const known = this.#known.get(arn);
      this.#known.delete(arn);
      this.#reviving.delete(arn);
      this.#refused.delete(arn);
      this.#archives.delete(arn);
      await this.#upkeep.release(arn);
      await known?.process.stop();
      const name = this.#directories.named(arn);
      if (name) {
        // Of a recovery that was killed.
        await stopStaleServer(dataDirectory(this.#files.clusters, name).data);
        rmSync(join(this.#files.clusters, name), { recursive: true, force: true });
      }
      this.#directories.release(arn);
    });
  }

  /** Begins to take base backups; call it once the machine has time for them. Without archiving it does nothing. */
  beginUpkeep(): void {
    if (this.#archiving.archives) this.#upkeep.begin();
  }

  restorableWindow(arn: string): RestorableWindow | undefined {
    const archive = this.#archives.get(arn);
    const oldest = archive?.bases()[0];
    if (!oldest || !this.#known.has(arn)) return undefined;
    return { earliest: new Date(oldest.stoppedAt), latest: new Date() };
  }

  recover(spec: RecoverySpec): Promise<number> {
    const { sourceArn, time, clusterIdentifier, arn, parameters } = spec;
    return this.#inTurn(arn, async () => {
      const { signal } = this.#stopping;
      const source = this.#known.get(sourceArn);
      const archive = this.#archives.get(sourceArn);
      const reserved = archive?.reserve(time);
      if (!source || !archive || !reserved) {
        throw new PostgresError(
          `database cluster ${sourceArn} cannot be recovered to ${time.toISOString()}: it does not run, or no base backup is that old`,
        );
      }
      const name = this.#directories.of(spec);
      const directory = dataDirectory(this.#files.clusters, name);
      const home = join(this.#files.clusters, name);
      try {
        await archiveUntil(time, this.#superuserOf(source, 'postgres'), archive, signal);
        await stopStaleServer(directory.data);
        rmSync(home, { recursive: true, force: true });
        mkdirSync(home, { recursive: true, mode: 0o700 });
        give(home, this.#files.user);
        const { databaseName, masterUsername } = source.record;
        const port = await freePort(undefined, this.#promisedPorts);
        const record: ClusterRecord = {
          clusterIdentifier,
          arn,
          databaseName,
          masterUsername,
          parameters,
          port,
          isHalted: true,
        };
        writeDurably(directory.record, JSON.stringify({ ...record, isRecovering: true }));
        await prepareRecovery(this.#files, directory.data, { archive, base: reserved.base, time, signal });
        this.#configure(record, directory.data);
        this.#promisedPorts.add(port);
        const process = await startServer(this.#files, name, directory, {
          limit: RECOVERY_LIMIT,
          signal,
        }).finally(() => this.#promisedPorts.delete(port));
        endRecovery(this.#files, directory.data);
        await process.stop();
        markInitialized(this.#files, name);
        writeDurably(directory.record, JSON.stringify(record));
        return port;
      } finally {
        reserved.release();
      }
    });
  }

  start(arn: string): Promise<ClusterServer> {
    return this.#inTurn(arn, async () => {
      const name = this.#directories.named(arn);
      const path = name && dataDirectory(this.#files.clusters, name).record;
      const record = path && readJson<ClusterRecord | null>(path, null);
      if (!record || record.isRecovering) throw new PostgresError(`no database cluster ${arn}`);
      const { isHalted: _, ...running } = record;
      return this.#serverOf(await this.#run(running));
    });
  }

  halt(arn: string): Promise<void> {
    return this.#inTurn(arn, async () => {
      const known = this.#known.get(arn) ?? this.#reviving.get(arn);
      if (!known) return;
      this.#known.delete(arn);
      this.#reviving.delete(arn);
      await this.#upkeep.release(arn);
      await known.process.stop();
      const { record } = dataDirectory(this.#files.clusters, this.#directories.of(known.record));
      writeDurably(record, JSON.stringify({ ...known.record, isHalted: true }));
    });
  }

  superuser(clusterArn: string, database?: string): ClientConfig {
    const known = this.#known.get(clusterArn);
    if (!known) throw new PostgresError(`no database cluster ${clusterArn}`);
    return this.#superuserOf(known, database ?? known.record.databaseName);
  }

  async setMasterPassword(arn: string, password: string): Promise<void> {
    const known = this.#known.get(arn);
    if (!known) throw new PostgresError(`no database cluster ${arn}`);
    await provisionMasterUser(this.#superuserOf(known, 'postgres'), {
      ...known.record,
      masterPassword: password,
    });
  }

  refuseLogins(arn: string, roles: readonly string[]): Promise<void> {
    const odd = roles.find((role) => !/^[\w-]{1,63}$/.test(role));
    if (odd !== undefined) throw new PostgresError(`cannot refuse the role ${JSON.stringify(odd)}`);
    return this.#inTurn(arn, async () => {
      if (String(roles) === String(this.#refused.get(arn) ?? [])) return;
      this.#refused.set(arn, roles);
      const known = this.#known.get(arn);
      // A server that does not run reads it when it starts.
      if (!known) return;
      const { data } = dataDirectory(this.#files.clusters, this.#directories.of(known.record));
      writeHostBasedAuthentication(this.#files, data, hostBasedAuthentication(roles));
      known.process.reload();
    });
  }

  /** Stops every server; nothing starts afterwards. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled([...this.#turns.values(), this.#spares.settled(), this.#upkeep.stop()]);
    await Promise.allSettled([...this.#known.values()].map(({ process }) => process.stop()));
  }

  /** Runs the server with this configuration: starts it, restarts it or does nothing. */
  async #run(wanted: ClusterRecord, attempts?: number): Promise<Known> {
    const { arn } = wanted;
    if (this.#stopping.signal.aborted) throw new PostgresError('the platform is stopping');
    const name = this.#directories.of(wanted);
    const directory = dataDirectory(this.#files.clusters, name);
    const running = this.#known.get(arn);
    if (!running) await stopStaleServer(directory.data);
    const remembered = wanted.port || readJson<ClusterRecord | null>(directory.record, null)?.port;
    const port = running?.record.port ?? (await freePort(remembered, this.#promisedPorts));
    const record = { ...wanted, port };
    const changed = this.#configure(record, directory.data);
    if (running && !changed) {
      running.record = record;
      writeDurably(directory.record, JSON.stringify(record));
      return running;
    }
    if (running) {
      this.#known.delete(arn);
      await running.process.stop();
    }
    this.#promisedPorts.add(port);
    const process = await startServer(this.#files, name, directory, { attempts }).finally(() =>
      this.#promisedPorts.delete(port),
    );
    writeDurably(directory.record, JSON.stringify(record));
    const known: Known = { record, process };
    this.#known.set(arn, known);
    this.#reviving.delete(arn);
    void process.ended.then(() => this.#revive(known));
    return known;
  }

  /** Puts the server's files in place, and its archive. @returns whether it must be started again for them */
  #configure({ arn, clusterIdentifier, parameters, port }: ClusterRecord, data: string): boolean {
    const home = join(this.#files.clusters, this.#directories.of({ arn, clusterIdentifier }));
    const archive = new WalArchive(home, this.#archiving.renewalBytes);
    if (!this.#archiving.archives) archive.erase();
    else if (!this.#known.has(arn)) {
      archive.prepare(this.#files);
      this.#archives.set(arn, archive);
    }
    const directory = this.#archiving.archives ? archive.walDirectory : undefined;
    return configureDataDirectory(
      this.#files,
      data,
      {
        settings: serverSettings(this.#files.bin, parameters, port, directory),
        hostBasedAuthentication: hostBasedAuthentication(this.#refused.get(arn) ?? []),
        certificates: this.#certificates,
      },
      readIfPresent,
    );
  }

  #archivedClusters(): ArchivedCluster[] {
    return [...this.#known.values()].flatMap((known) => {
      const { arn } = known.record;
      const archive = this.#archives.get(arn);
      if (!archive) return [];
      const name = this.#directories.of(known.record);
      const { data } = dataDirectory(this.#files.clusters, name);
      return {
        arn,
        name,
        isRenewalDue: () => archive.isRenewalDue,
        takeBaseBackup: async (signal) => {
          await takeBaseBackup(this.#superuserOf(known, 'postgres'), { data, archive, signal });
          archive.prune();
        },
      };
    });
  }

  /**
   * A server that ends unexpectedly is started again, as Aurora restarts a failed instance, until it runs: a backend
   * that outlives a killed postmaster prevents the next start for as long as it is busy.
   */
  async #revive(ended: Known): Promise<void> {
    const { arn } = ended.record;
    if (this.#stopping.signal.aborted || this.#known.get(arn) !== ended) return;
    this.#known.delete(arn);
    this.#reviving.set(arn, ended);
    const name = this.#directories.of(ended.record);
    this.#log(`PostgreSQL of database cluster ${name} ended unexpectedly; starting it again`);
    for (let pause = revivalPauses.first; ; pause = Math.min(pause * 2, revivalPauses.longest)) {
      try {
        await this.#inTurn(arn, async () => {
          if (this.#reviving.get(arn) === ended) await this.#run(ended.record, revivalAttempts);
        });
        return;
      } catch (cause) {
        if (this.#stopping.signal.aborted) return;
        this.#log(`${reasonOf(cause)}; trying again in ${pause / 1000} s`);
      }
      await delay(pause, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  #serverOf(known: Known): ClusterServer {
    const { clusterIdentifier, arn, port, databaseName, masterUsername } = known.record;
    return {
      clusterIdentifier,
      arn,
      host: '127.0.0.1',
      port,
      databaseName,
      masterUsername,
      stop: () =>
        this.#inTurn(arn, async () => {
          if (this.#reviving.get(arn) === known) this.#reviving.delete(arn);
          if (this.#known.get(arn) !== known) return;
          this.#known.delete(arn);
          await known.process.stop();
        }),
    };
  }

  #superuserOf(known: Known, database: string): ClientConfig {
    return {
      host: '127.0.0.1',
      port: known.record.port,
      user: superuserName,
      password: this.#superuserPassword,
      database,
      ssl: { ca: this.#certificates.caCertificate },
    };
  }

  #inTurn<T>(arn: string, work: () => Promise<T>): Promise<T> {
    const previous = this.#turns.get(arn) ?? Promise.resolve();
    const turn = previous.then(work, work);
    this.#turns.set(
      arn,
      turn.catch(() => undefined),
    );
    return turn;
  }
}

function readIfPresent(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
