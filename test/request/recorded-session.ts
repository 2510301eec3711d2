import tls from 'node:tls';
import type pg from 'pg';
import { type DatabaseAddress, DatabasePools } from '../../functions/database/session/pools.ts';
import {
  type Access,
  runTenantBatch,
  runTenantTransaction,
  type TenantTransaction,
} from '../../functions/database/session/tenant-session.ts';
import type { Statement } from '../../functions/database/session/tenant-sql.ts';
import type { TestDatabase } from '../test-database.ts';
import { type FlightRecorder, startFlightRecorder } from './flight-recorder.ts';

/** A tenant's transactions on one connection that leads through a recorder. */
export class RecordedSession {
  readonly recorder: FlightRecorder;
  readonly tenantId: string;
  readonly #roleName: string;
  readonly #address: DatabaseAddress;
  readonly #pools: DatabasePools;

  private constructor(
    recorder: FlightRecorder,
    tenant: { tenantId: string; roleName: string },
    address: DatabaseAddress,
    pools: DatabasePools,
  ) {
    this.recorder = recorder;
    this.tenantId = tenant.tenantId;
    this.#roleName = tenant.roleName;
    this.#address = address;
    this.#pools = pools;
  }

  /** Its connection is open and idle, and nothing of that is on the record. */
  static async open(
    database: TestDatabase,
    model: 'shared' | 'schema',
    { pipeline }: { pipeline: boolean },
  ): Promise<RecordedSession> {
    tls.setDefaultCACertificates([...tls.rootCertificates, database.server.certificate]);
    const tenant = await database.addTenant(model);
    const recorder = await startFlightRecorder(database.server.port);
    const { user: username, password } = tenant.login;
    const pools = new DatabasePools(
      { get: async () => ({ username, password }), forget: () => {} },
      { cap: 1, pipeline },
    );
    const address = {
      host: '127.0.0.1',
      port: recorder.port,
      database: database.name,
      secretArn: username,
      poolSize: 1,
    };
    const session = new RecordedSession(recorder, tenant, address, pools);
    await session.batch('read', []);
    recorder.take();
    return session;
  }

  batch<const Statements extends readonly Statement<unknown>[]>(access: Access, statements: Statements) {
    return runTenantBatch(
      this.#pools,
      this.#address,
      { tenantId: this.tenantId, epoch: 1 },
      access,
      statements,
    );
  }

  transaction<Result>(access: Access, work: (transaction: TenantTransaction) => Promise<Result>) {
    return runTenantTransaction(
      this.#pools,
      this.#address,
      { tenantId: this.tenantId, epoch: 1 },
      access,
      work,
    );
  }

  /** Waits until the server's side of the connection is as `condition` says (of `pg_stat_activity`); its process id. */
  async backend(observer: pg.Client, condition: string): Promise<number> {
    for (;;) {
      const { rows } = await observer.query<{ pid: number }>(
        `SELECT pid FROM pg_catalog.pg_stat_activity
         WHERE usename = $1 AND datname = $2 AND (${condition})`,
        [this.#roleName, this.#address.database],
      );
      if (rows[0]) return rows[0].pid;
    }
  }

  async end(): Promise<void> {
    await this.recorder.close();
    await this.#pools.end();
  }
}
