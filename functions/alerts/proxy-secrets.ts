/** Secrets that a cell's proxy cannot use: tenants whose new sessions are refused. */
import { ProxySecretsExhausted } from '../places/errors.ts';
import type { ProxyAuthState } from '../places/proxy-auth.ts';
import { type Finding, ofCell } from './finding.ts';

export interface ProxyOfCell {
  readonly findings: readonly Finding[];
  /** null when the registry lists more than a proxy takes. */
  readonly secrets: number | null;
}

/** Reads the state of a cell's proxy: `readProxyAuth`, and its errors. */
export type ReadProxy = (cellId: string) => Promise<ProxyAuthState>;

/** @throws {RegistryError} and RDS's own errors. */
export async function judgeProxy(cellId: string, read: ReadProxy): Promise<ProxyOfCell> {
  const finding = (summary: string, details: Finding['details']): Finding => ({
    kind: 'proxy-secrets',
    ...ofCell(cellId),
    level: 'raise',
    summary,
    details,
  });
  try {
    const { secrets, missing, authFailure } = await read(cellId);
    if (missing.length > 0) {
      const summary = `The proxy of cell ${cellId} does not accept ${missing.length} of ${secrets} secrets.`;
      return { secrets, findings: [finding(summary, { missing: missing.map(nameOf), authFailure })] };
    }
    if (authFailure === null) return { secrets, findings: [] };
    return {
      secrets,
      findings: [finding(`The proxy of cell ${cellId} cannot sign in to its database.`, { authFailure })],
    };
  } catch (error) {
    if (!(error instanceof ProxySecretsExhausted)) throw error;
    const summary = `The registry lists more secrets for the proxy of cell ${cellId} than a proxy takes.`;
    return { secrets: null, findings: [finding(summary, {})] };
  }
}

/** `strata/tenant/<id>/<role>`, without the letters that Secrets Manager adds to an ARN. */
const nameOf = (arn: string): string =>
  arn.replace(/^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:/, '').replace(/-[A-Za-z0-9]{6}$/, '');
