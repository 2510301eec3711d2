/**
 * Connections of the Data API, pooled per cluster, secret version and database, so that a warm call costs one
 * round trip on loopback. A connection goes back only after DISCARD ALL: calls share nothing but the login.
 */
import pg from 'pg';
import type { ClusterServer, PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';

/** Whom to log in as, from a secret. */
export interface Credentials {
  username: string;
  password: string;
}

export interface PoolKey {
  cluster: ClusterServer;
  credentials: Credentials;
  /** Changes with every new value of the secret. */
  secretVersion: string;
  database: string;
}

export class ConnectionPools {
  readonly #context: PlatformContext;
  readonly #pools = new Map<string, pg.Pool>();

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  async connect(key: PoolKey): Promise<pg.PoolClient> {
    return this.#pool(key).connect();
  }

  /** Gives a connection back; it is reset without the caller having to wait. */
  release(client: pg.PoolClient, broken = false): void {
    if (broken) {
      client.release(true);
      return;
    }
    client.query('DISCARD ALL').then(
      () => client.release(),
      () => client.release(true),
    );
  }

  /** Cancels what a connection runs, over another connection of the same user. */
  async cancel(key: PoolKey, client: pg.PoolClient): Promise<void> {
    const { processID } = client as unknown as { processID: number };
    await this.#pool(key).query('SELECT pg_cancel_backend($1)', [processID]);
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.allSettled(pools.map((pool) => pool.end()));
  }

  #pool(key: PoolKey): pg.Pool {
    const { cluster, credentials, database } = key;
    const id = [cluster.arn, cluster.port, key.secretVersion, credentials.username, database].join(' ');
    const existing = this.#pools.get(id);
    if (existing) return existing;
    const pool = new pg.Pool({
      host: cluster.host,
      port: cluster.port,
      database,
      user: credentials.username,
      password: credentials.password,
      ssl: { ca: this.#context.caCertificate },
      application_name: 'rds-data-api',
      options: '-c TimeZone=UTC -c DateStyle=ISO,MDY -c bytea_output=hex',
      max: 20,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: 10_000,
    });
    // An idle connection whose server stops is simply dropped; the next call finds out.
    pool.on('error', () => {});
    // One that breaks while it is lent out fails its query; without a listener it would also end this process.
    pool.on('connect', (client) => client.on('error', () => {}));
    this.#pools.set(id, pool);
    return pool;
  }
}

/**
 * Reads username and password out of a secret in RDS's JSON shape.
 * @throws {AwsError} when it has none
 */
export function credentialsOf(secretString: string | undefined): Credentials & { dbname?: string } {
  let value: unknown;
  try {
    value = JSON.parse(secretString ?? '');
  } catch {
    value = undefined;
  }
  const { username, password, dbname } = (value ?? {}) as Record<string, unknown>;
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw new AwsError(
      'InvalidSecretException',
      'The Secrets Manager secret used with the request is not valid: it must hold username and password',
    );
  }
  return { username, password, ...(typeof dbname === 'string' ? { dbname } : {}) };
}
