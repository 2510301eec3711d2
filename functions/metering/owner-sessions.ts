import type pg from 'pg';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { isConnectionLost } from '../database/session/sql-state.ts';
import type { DataDatabase } from './metered-tenants.ts';

/** Opens a connection as the owner of the database. The caller ends it. @throws the driver's or the network's error. */
export type ConnectAsOwner = (database: DataDatabase) => Promise<pg.Client>;

export const connectAsOwner: ConnectAsOwner = ({ host, port, database, ownerSecret: secretArn }) =>
  dataConnection({ host, port, database, secretArn });

/** At most one connection, to the database that was asked for last: tenants come database by database. */
export class OwnerSessions {
  readonly #connect: ConnectAsOwner;
  #open: { readonly key: string; readonly client: pg.Client } | undefined;

  constructor(connect: ConnectAsOwner) {
    this.#connect = connect;
  }

  /** @throws what connecting throws. */
  async to(database: DataDatabase): Promise<pg.Client> {
    if (this.#open?.key !== database.key) {
      await this.end();
      this.#open = { key: database.key, client: await this.#connect(database) };
    }
    return this.#open.client;
  }

  /** After an error: a connection that did not survive it is not given out again. */
  async afterError(error: unknown): Promise<void> {
    if (isConnectionLost(error)) await this.end();
  }

  async end(): Promise<void> {
    const client = this.#open?.client;
    this.#open = undefined;
    await client?.end().catch(() => {});
  }
}
