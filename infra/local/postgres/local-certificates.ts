import { randomUUID, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { writeDurably } from '../state/state-file.ts';

export interface LocalCertificates {
  /** PEM; clients of a local PostgreSQL trust this one. */
  caCertificate: string;
  serverCertificate: string;
  serverKey: string;
}

const day = 86_400_000;

/**
 * The local certificate authority and one server certificate for 127.0.0.1 and localhost, made once per state directory
 * and renewed a month before they expire.
 */
export async function localCertificates(directory: string): Promise<LocalCertificates> {
  const caCertificate = join(directory, 'ca.crt');
  const serverCertificate = join(directory, 'server.crt');
  const serverKey = join(directory, 'server.key');
  // The certificate is written last: when it exists and verifies, everything else is complete.
  if (existsSync(serverCertificate) && existsSync(serverKey) && existsSync(caCertificate)) {
    const files = {
      caCertificate: readFileSync(caCertificate, 'utf8'),
      serverCertificate: readFileSync(serverCertificate, 'utf8'),
      serverKey: readFileSync(serverKey, 'utf8'),
    };
    if (isUsable(files)) return files;
  }
  const validity = {
    notBeforeDate: new Date(Date.now() - day),
    notAfterDate: new Date(Date.now() + 3650 * day),
  };
  const kind = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256', ...validity } as const;
  // A name of its own: a client that trusts two authorities of one name may check a server against the wrong one.
  const ca = await generate([{ name: 'commonName', value: `Strata local CA ${randomUUID()}` }], {
    ...kind,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const server = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...kind,
    ca: { key: ca.private, cert: ca.cert },
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  writeDurably(caCertificate, ca.cert, 0o644);
  writeDurably(serverKey, server.private, 0o600);
  writeDurably(serverCertificate, server.cert, 0o644);
  return { caCertificate: ca.cert, serverCertificate: server.cert, serverKey: server.private };
}

function isUsable(files: LocalCertificates): boolean {
  try {
    const server = new X509Certificate(files.serverCertificate);
    const ca = new X509Certificate(files.caCertificate);
    return server.verify(ca.publicKey) && Date.parse(server.validTo) > Date.now() + 30 * day;
  } catch {
    return false;
  }
}
