/**
 * The PostgreSQL servers of this platform, one per Aurora cluster.
 *
 * Of each cluster: unknown → (create) initialized and running ⇄ stopped → (remove) unknown. Known ones are started
 * early by `startKnown`, while the app is still being synthesized; `create` then finds them running.
 * Invariants: operations on one cluster run one after the other; `cluster.json` remembers a cluster only once its
 * data directory is whole; a port is kept for as long as nobody else takes it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientConfig } from 'pg';
import { PostgresError, reasonOf } from '../errors.ts';
import type { ClusterServer, ClusterSpec, Clusters, Log, StateFile } from '../model.ts';
import { readJson, writeDurably } from '../state/state-file.ts';
import {
  configureDataDirectory,
  dataDirectory,
  initializeDataDirectory,
  superuserName,
} from './data-directory.ts';
import { freePort } from './free-port.ts';
import type { LocalCertificates } from './local-certificates.ts';
import { provisionMasterUser } from './master-user.ts';
import type { PostgresFiles } from './postgres-files.ts';
import { type ServerProcess, startServer, stopStaleServer } from './server-process.ts';
import { hostBasedAuthentication, serverSettings } from './server-settings.ts';

type ClusterRecord = Omit<ClusterSpec, 'masterPassword'> & { port: number };

interface Known {
  record: ClusterRecord;
  process: ServerProcess;
}

export class PostgresClusters implements Clusters {
  readonly #files: PostgresFiles;
  readonly #certificates: LocalCertificates;
  readonly #log: Log;
  readonly #superuserPassword: string;
  readonly #known = new Map<string, Known>();
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #promisedPorts = new Set<number>();
  #stopping = false;

  constructor(files: PostgresFiles, certificates: LocalCertificates, state: StateFile, log: Log) {
    this.#files = files;
    this.#certificates = certificates;
    this.#log = log;
    const remembered = state.load<{ password?: string }>('postgres-superuser', {}).password;
    this.#superuserPassword = remembered ?? randomBytes(24).toString('base64url');
    if (!remembered) state.save('postgres-superuser', { password: this.#superuserPassword });
  }

  /** Starts every cluster of an earlier run at once. Failures are kept for `create`, which tries again. */
  async startKnown(): Promise<void> {
    const identifiers = readdirSync(this.#files.clusters).filter((name) =>
      existsSync(this.#directory(name).record),
    );
    await Promise.allSettled(
      identifiers.map((identifier) =>
        this.#inTurn(identifier, async () => {
          const record = readJson<ClusterRecord | null>(this.#directory(identifier).record, null);
          if (record) await this.#run(record);
        }),
      ),
    );
  }

  create(spec: ClusterSpec): Promise<ClusterServer> {
    return this.#inTurn(spec.clusterIdentifier, async () => {
      const { masterPassword, ...rest } = spec;
      const { clusterIdentifier } = spec;
      await initializeDataDirectory(this.#files, clusterIdentifier, this.#superuserPassword);
      const known = await this.#run({ ...rest, port: this.#known.get(clusterIdentifier)?.record.port ?? 0 });
      try {
        await provisionMasterUser(this.#superuserOf(known, 'postgres'), { ...rest, masterPassword });
      } catch (cause) {
        throw new PostgresError(
          `database cluster ${clusterIdentifier} refused its master user: ${reasonOf(cause)}`,
        );
      }
      return this.#serverOf(known);
    });
  }

  byArn(arn: string): ClusterServer | undefined {
    return this.list().find((server) => server.arn === arn);
  }

  byIdentifier(clusterIdentifier: string): ClusterServer | undefined {
    const known = this.#known.get(clusterIdentifier);
    return known && this.#serverOf(known);
  }

  list(): ClusterServer[] {
    return [...this.#known.values()].map((known) => this.#serverOf(known));
  }

  remove(clusterIdentifier: string): Promise<void> {
    return this.#inTurn(clusterIdentifier, async () => {
      const known = this.#known.get(clusterIdentifier);
      this.#known.delete(clusterIdentifier);
      await known?.process.stop();
      rmSync(join(this.#files.clusters, clusterIdentifier), { recursive: true, force: true });
    });
  }

  superuser(clusterArn: string, database?: string): ClientConfig {
    const known = [...this.#known.values()].find(({ record }) => record.arn === clusterArn);
    if (!known) throw new PostgresError(`no database cluster ${clusterArn}`);
    return this.#superuserOf(known, database ?? known.record.databaseName);
  }

  async setMasterPassword(clusterIdentifier: string, password: string): Promise<void> {
    const known = this.#known.get(clusterIdentifier);
    if (!known) throw new PostgresError(`no database cluster ${clusterIdentifier}`);
    await provisionMasterUser(this.#superuserOf(known, 'postgres'), {
      ...known.record,
      masterPassword: password,
    });
  }

  /** Stops every server; nothing starts afterwards. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.allSettled(this.#turns.values());
    await Promise.allSettled([...this.#known.values()].map(({ process }) => process.stop()));
  }

  /** Runs the server with this configuration: starts, restarts or leaves it alone. */
  async #run(wanted: ClusterRecord): Promise<Known> {
    const { clusterIdentifier } = wanted;
    if (this.#stopping) throw new PostgresError('the platform is stopping');
    const directory = this.#directory(clusterIdentifier);
    const running = this.#known.get(clusterIdentifier);
    if (!running) await stopStaleServer(directory.data);
    const remembered = wanted.port || readJson<ClusterRecord | null>(directory.record, null)?.port;
    const port = running?.record.port ?? (await freePort(remembered, this.#promisedPorts));
    const record = { ...wanted, port };
    const changed = configureDataDirectory(
      this.#files,
      directory.data,
      {
        settings: serverSettings(this.#files.bin, wanted.parameters, port),
        hostBasedAuthentication,
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
      this.#known.delete(clusterIdentifier);
      await running.process.stop();
    }
    this.#promisedPorts.add(port);
    const process = await startServer(this.#files, clusterIdentifier, directory).finally(() =>
      this.#promisedPorts.delete(port),
    );
    writeDurably(directory.record, JSON.stringify(record));
    const known: Known = { record, process };
    this.#known.set(clusterIdentifier, known);
    void process.ended.then(() => this.#revive(known));
    return known;
  }

  /** A server that ends by itself is started again once, as Aurora restarts a failed instance. */
  #revive(ended: Known): void {
    const { clusterIdentifier } = ended.record;
    if (this.#stopping || this.#known.get(clusterIdentifier) !== ended) return;
    this.#log(`PostgreSQL of database cluster ${clusterIdentifier} ended unexpectedly; starting it again`);
    void this.#inTurn(clusterIdentifier, async () => {
      if (this.#known.get(clusterIdentifier) !== ended) return;
      this.#known.delete(clusterIdentifier);
      await this.#run(ended.record);
    }).catch((cause: unknown) => this.#log(reasonOf(cause)));
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
        this.#inTurn(clusterIdentifier, async () => {
          if (this.#known.get(clusterIdentifier) !== known) return;
          this.#known.delete(clusterIdentifier);
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

  #directory(clusterIdentifier: string) {
    return dataDirectory(this.#files.clusters, clusterIdentifier);
  }

  #inTurn<T>(clusterIdentifier: string, work: () => Promise<T>): Promise<T> {
    const previous = this.#turns.get(clusterIdentifier) ?? Promise.resolve();
    const turn = previous.then(work, work);
    this.#turns.set(
      clusterIdentifier,
      turn.catch(() => undefined),
    );
    return turn;
  }
}

function readIfPresent(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
