import type { ClusterServer } from '../../../model.ts';
import { overConnection } from '../../../postgres/over-connection.ts';
import type { SecretStore } from '../secrets-manager/secret-store.ts';
import { currentLogin } from './proxy-logins.ts';
import type { DatabaseProxy } from './rds-store.ts';

/** `TargetHealth` of DescribeDBProxyTargets. */
export type TargetHealth =
  | { readonly State: 'AVAILABLE' }
  | { readonly State: 'UNAVAILABLE'; readonly Reason: string; readonly Description: string };

const REFUSED = new Set(['28P01', '28000']);

/**
 * Whether a proxy can use a cluster: it signs in with its secrets, one after the other, until one is accepted. RDS reports
 * `AUTH_FAILURE` when it has no usable secret.
 */
export async function targetHealth(
  proxy: DatabaseProxy,
  server: ClusterServer | undefined,
  { secrets, caCertificate }: { readonly secrets: SecretStore; readonly caCertificate: string },
): Promise<TargetHealth> {
  if (!server) return unavailable('UNREACHABLE', 'The server is not running');
  for (const { SecretArn } of proxy.auth) {
    const login = SecretArn === undefined ? undefined : currentLogin(secrets, SecretArn, proxy.region);
    if (!login) continue;
    try {
      await signIn(server, login, caCertificate);
      return { State: 'AVAILABLE' };
    } catch (error) {
      if (REFUSED.has(String((error as { code?: unknown }).code))) continue;
      return unavailable('CONNECTION_FAILED', (error as Error).message);
    }
  }
  return unavailable('AUTH_FAILURE', 'Proxy does not have any registered credentials');
}

const unavailable = (Reason: string, Description: string) =>
  ({ State: 'UNAVAILABLE', Reason, Description }) as const;

async function signIn(
  { host, port, databaseName }: ClusterServer,
  login: { username: string; password: string },
  ca: string,
): Promise<void> {
  const connection = {
    host,
    port,
    database: databaseName,
    user: login.username,
    password: login.password,
    ssl: { ca },
    connectionTimeoutMillis: 5_000,
  };
  await overConnection(connection, async () => {});
}
