import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { Redis } from 'iovalkey';
import { CacheServer, type CacheServerOptions } from '../../functions/aws/cache-server.ts';
import { CACHE_ACCESS, CACHE_USER } from '../../functions/contracts/cache-user.ts';
import { CachePool } from '../../functions/tenant-data/cache-pool.ts';
import { internals, valkeyProgram } from '../../infra/local/index.ts';
import { CuttingRelay } from '../placement/cutting-relay.ts';
import { sharedCertificates } from '../postgres-server.ts';

export const valkeyInstalled = valkeyProgram() !== undefined;
if (!valkeyInstalled)
  console.warn('left out: tests of the cache, which need valkey-server or redis-server on this machine');

const PASSWORD = 'cache-password';
const INSPECTOR = { name: 'inspector', password: 'inspector-password', access: 'on ~* &* +@all' };

/** A server of a test's own, with the user of the templates and one that may look at everything. */
export class TestValkey {
  /** May do everything. */
  readonly inspector: Redis;
  readonly port: number;
  readonly #stop: () => Promise<void>;
  readonly #servers: CacheServer[] = [];
  readonly #certificate: string;

  private constructor(port: number, certificate: string, stop: () => Promise<void>) {
    this.port = port;
    this.#certificate = certificate;
    this.#stop = stop;
    this.inspector = new Redis({
      host: '127.0.0.1',
      port,
      username: INSPECTOR.name,
      password: INSPECTOR.password,
      tls: { ca: certificate },
    });
  }

  static async start(): Promise<TestValkey> {
    const directory = mkdtempSync(join(tmpdir(), 'strata-valkey-'));
    const { startValkey } = await internals();
    const { caCertificate, serverCertificate, serverKey } = await sharedCertificates();
    const server = await startValkey({
      program: valkeyProgram() as string,
      directory,
      certificate: serverCertificate,
      key: serverKey,
      users: [{ name: CACHE_USER, password: PASSWORD, access: CACHE_ACCESS }, INSPECTOR],
      maxMemoryMb: 64,
    });
    return new TestValkey(server.port, caCertificate, async () => {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    });
  }

  /** Call after `createWorld`, which sets what this process trusts. */
  trust(): void {
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), this.#certificate]);
  }

  /** What one container has. Without `limitMs` a call may take long: this machine may be busy. */
  server(options: Partial<CacheServerOptions> & { port?: number } = {}): CacheServer {
    const { port = this.port, ...rest } = options;
    const address = { host: '127.0.0.1', port, username: CACHE_USER, password: PASSWORD };
    const server = new CacheServer({ address: async () => address, limitMs: 5_000, ...rest });
    this.#servers.push(server);
    return server;
  }

  /** As a container's runtime has it. */
  pool(server = this.server()): () => Promise<CachePool> {
    const pool = new CachePool(new Map([['us-1', server]]));
    return async () => pool;
  }

  /** A relay in front of it that can be closed. */
  async relay(port?: number): Promise<CuttingRelay> {
    const relay = new CuttingRelay(this.port);
    await relay.listen(port);
    return relay;
  }

  keys(): Promise<string[]> {
    return this.inspector.keys('*');
  }

  /** Everything it has, as one text. */
  async content(): Promise<string> {
    const all = await Promise.all((await this.keys()).map((key) => this.inspector.hgetall(key)));
    return JSON.stringify(all);
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) server.end();
    this.inspector.disconnect();
    await this.#stop();
  }
}
