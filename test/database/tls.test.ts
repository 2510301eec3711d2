/** Every connection of our functions refuses a server that is not the one it claims to be, before it says who it is. */
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { generate } from 'selfsigned';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { generateDataKey } from '../../functions/aws/data-keys.ts';
import { secretText } from '../../functions/aws/secrets.ts';
import { dataConnection } from '../../functions/database/provisioning/data-connection.ts';
import { DatabasePools } from '../../functions/database/session/pools.ts';

interface Certificate {
  readonly cert: string;
  readonly key: string;
}

interface Authority extends Certificate {
  sign(
    altNames: readonly { type: 2; value: string }[] | readonly { type: 7; ip: string }[],
  ): Promise<Certificate>;
}

const kind = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;

async function authority(commonName: string): Promise<Authority> {
  const ca = await generate([{ name: 'commonName', value: commonName }], {
    ...kind,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return {
    cert: ca.cert,
    key: ca.private,
    async sign(altNames) {
      const server = await generate([{ name: 'commonName', value: 'server' }], {
        ...kind,
        ca: { key: ca.private, cert: ca.cert },
        extensions: [
          { name: 'basicConstraints', cA: false },
          { name: 'extKeyUsage', serverAuth: true },
          { name: 'subjectAltName', altNames: [...altNames] },
        ],
      });
      return { cert: server.cert, key: server.private };
    },
  };
}

/** Speaks PostgreSQL's protocol up to the end of the handshake; what a client says then is only recorded. */
class Impostor {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  port = 0;
  /** Bytes that arrived inside TLS. */
  heard = 0;
  secured: string[] = [];

  constructor(
    { cert, key }: Certificate,
    { offers = true, maxVersion }: { offers?: boolean; maxVersion?: tls.SecureVersion } = {},
  ) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.once('data', () => {
        if (!offers) return socket.write('N');
        socket.write('S');
        const secure = new tls.TLSSocket(socket, {
          isServer: true,
          secureContext: tls.createSecureContext({ cert, key, ...(maxVersion ? { maxVersion } : {}) }),
        });
        secure.on('error', () => {});
        secure.on('secure', () => this.secured.push(secure.getProtocol() ?? ''));
        secure.on('data', (bytes) => {
          this.heard += bytes.length;
          secure.destroy();
        });
      });
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    this.port = (this.#server.address() as { port: number }).port;
    return this;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

let trusted: Authority;
let stranger: Authority;
const open: { close(): void }[] = [];
beforeAll(async () => {
  [trusted, stranger] = await Promise.all([authority('Trusted'), authority('Stranger')]);
  tls.setDefaultCACertificates([...tls.rootCertificates, trusted.cert]);
});
afterEach(() => {
  vi.unstubAllEnvs();
  for (const each of open.splice(0)) each.close();
});
afterAll(() => tls.setDefaultCACertificates(tls.getCACertificates('bundled')));

const LOCAL = [{ type: 7, ip: '127.0.0.1' }] as const;
const credentials = { username: 'owner', password: 'secret' };

/** The two ways in which functions connect: requests through pools, tasks with one connection. */
const clients = {
  'a pool of requests': async (port: number) => {
    const pools = new DatabasePools(
      { get: async () => credentials, forget: () => {} },
      { cap: 1, pipeline: false },
    );
    try {
      await pools.connect({ host: '127.0.0.1', port, database: 'd', secretArn: 's', poolSize: 1 });
    } finally {
      void pools.end();
    }
  },
  'a connection of a task': async (port: number) => {
    await dataConnection({ host: '127.0.0.1', port, database: 'd', credentials });
  },
};

async function impostor(...parameters: ConstructorParameters<typeof Impostor>): Promise<Impostor> {
  const server = await new Impostor(...parameters).listen();
  open.push(server);
  return server;
}

describe.each(Object.entries(clients))('%s', (_name, connect) => {
  test('refuses a certificate of another authority', async () => {
    const server = await impostor(await stranger.sign(LOCAL));
    await expect(connect(server.port)).rejects.toMatchObject({
      code: expect.stringMatching(/VERIFY|SELF_SIGNED/),
    });
    expect(server.heard).toBe(0);
  });

  test('refuses a good certificate of another host', async () => {
    const server = await impostor(await trusted.sign([{ type: 2, value: 'other.example.com' }]));
    await expect(connect(server.port)).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    expect(server.heard).toBe(0);
  });

  test('refuses a server without TLS', async () => {
    const server = await impostor(await trusted.sign(LOCAL), { offers: false });
    await expect(connect(server.port)).rejects.toThrow(/does not support SSL/);
  });

  test('refuses TLS 1.2', async () => {
    const server = await impostor(await trusted.sign(LOCAL), { maxVersion: 'TLSv1.2' });
    await expect(connect(server.port)).rejects.toThrow(
      /alert protocol version|unsupported protocol|ERR_SSL/i,
    );
    expect(server.heard).toBe(0);
  });

  test('goes on with the right certificate, in TLS 1.3', async () => {
    const server = await impostor(await trusted.sign(LOCAL));
    await expect(connect(server.port)).rejects.toThrow();
    expect(server.secured).toEqual(['TLSv1.3']);
    expect(server.heard).toBeGreaterThan(0);
  });
});

test('TLS 1.2 is a setting of the deployment, for a server that has no better', async () => {
  vi.stubEnv('DB_TLS', 'TLSv1.2');
  const server = await impostor(await trusted.sign(LOCAL), { maxVersion: 'TLSv1.2' });
  await expect(clients['a pool of requests'](server.port)).rejects.toThrow();
  expect(server.secured).toEqual(['TLSv1.2']);
});

test.each([
  ['KMS', () => generateDataKey('arn:aws:kms:us-east-1:000000000000:key/1', 'tenant')],
  ['Secrets Manager', () => secretText('name', 'us-east-1')],
])('%s with a certificate of another authority gets no request', async (_service, call) => {
  const { cert, key } = await stranger.sign(LOCAL);
  let requests = 0;
  const server = createHttpsServer({ cert, key }, (_request, response) => {
    requests += 1;
    response.end('{}');
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  open.push(server);
  const { port } = server.address() as { port: number };
  vi.stubEnv('AWS_ENDPOINT_URL_KMS', `https://127.0.0.1:${port}`);
  vi.stubEnv('AWS_ENDPOINT_URL_SECRETS_MANAGER', `https://127.0.0.1:${port}`);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'k');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 's');
  await expect(call()).rejects.toSatisfy((error: Error & { code?: string; cause?: { code?: string } }) =>
    /VERIFY|SELF_SIGNED/.test(error.cause?.code ?? error.code ?? ''),
  );
  expect(requests).toBe(0);
});
