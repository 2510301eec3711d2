import type { SecureVersion } from 'node:tls';

/**
 * The oldest version of TLS that a connection to a database may use. TLS 1.3 but where the deployment says otherwise
 * (`databaseTls` in `infra/config.ts`): RDS Proxy and Aurora PostgreSQL offer it.
 */
export function oldestTls(environment: NodeJS.ProcessEnv = process.env): SecureVersion {
  return environment.DB_TLS === 'TLSv1.2' ? 'TLSv1.2' : 'TLSv1.3';
}
