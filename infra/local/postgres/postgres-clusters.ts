/**
 * The PostgreSQL servers of this platform, one per Aurora cluster, which its ARN identifies.
 *
 * States of each cluster: unknown → (create) initialized, from a spare directory if there is one, and running ⇄ stopped
 * → (remove) unknown; running → (ends unexpectedly) reviving → running, as often as needed. `startKnown` starts known
 * ones early, while the app is still being synthesized; `create` then finds them running. Invariants: operations on one
 * cluster run one after the other; `cluster.json` exists only after its data directory is complete; a port stays the
 * same while it is free.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientConfig } from 'pg';
import { PostgresError, reasonOf } from '../errors.ts';
import type { ClusterServer, ClusterSpec, Clusters, Log, StateFile } from '../model.ts';
import { readJson, writeDurably } from '../state/state-file.ts';
import { ClusterDirectories } from './cluster-directories.ts';
import {
  configureDataDirectory,
  dataDirectory,
  initializeDataDirectory,
  superuserName,
  writeHostBasedAuthentication,
} from './data-directory.ts';
import { freePort } from './free-port.ts';
import type { LocalCertificates } from './local-certificates.ts';
import { provisionMasterUser } from './master-user.ts';
import type { PostgresFiles } from './postgres-files.ts';
import { type ServerProcess, startServer, stopStaleServer } from './server-process.ts';
import { hostBasedAuthentication, serverSettings } from './server-settings.ts';
import { SpareDirectories } from './spare-directories.ts';

type ClusterRecord = Omit<ClusterSpec, 'masterPassword'> & { port: number };

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

  constructor(files: PostgresFiles, certificates: LocalCertificates, state: StateFile, log: Log) {
    this.#files = files;
    this.#certificates = certificates;
    this.#log = log;
    this.#directories = new ClusterDirectories(files.clusters);
    const remembered = state.load<{ password?: string }>('postgres-superuser', {}).password;
    this.#superuserPassword = remembered ?? randomBytes(24).toString('base64url');
    if (!remembered) state.save('postgres-superuser', { password: this.#superuserPassword });
    this.#spares = new SpareDirectories(files, this.#superuserPassword);
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
          await this.#run(readJson<ClusterRecord>(record, {} as ClusterRecord));
        }),
      ),
    );
  }

  create(spec: ClusterSpec): Promise<ClusterServer> {
    return this.#inTurn(spec.arn, async () => {
      const { masterPassword, ...rest } = spec;
      const name = this.#directories.of(spec);
      await this.#spares.adopt(name);
      await initializeDataDirectory(this.#files, name, this.#superuserPassword);
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
      await known?.process.stop();
      const name = this.#directories.named(arn);
      if (name) rmSync(join(this.#files.clusters, name), { recursive: true, force: true });
      this.#directories.release(arn);
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
    await Promise.allSettled([...this.#turns.values(), this.#spares.settled()]);
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
    const changed = configureDataDirectory(
      this.#files,
      directory.data,
      {
        settings: serverSettings(this.#files.bin, wanted.parameters, port),
        hostBasedAuthentication: hostBasedAuthentication(this.#refused.get(arn) ?? []),
        certificates: this.#certificates,
      },
      readIfPresent,
    );
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
    const process = await startServer(this.#files, name, directory, attempts).finally(() =>
      this.#promisedPorts.delete(port),
    );
    writeDurably(directory.record, JSON.stringify(record));
    const known: Known = { record, process };
    this.#known.set(arn, known);
    this.#reviving.delete(arn);
    void process.ended.then(() => this.#revive(known));
    return known;
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
