import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { BIN, type DebianServer, startDebianServer } from '../move/debian-servers.ts';
import { createSource, versionOf } from '../move/dump-contest.ts';

const DATABASE = 'postgres';
const RESTORED = 'restored';

export interface Dump {
  readonly ms: number;
  readonly bytes: number;
}

/** The same rows on a PostgreSQL 15 of Debian, and its tools. */
export class Dumps {
  readonly serverVersion: string;
  readonly #server: DebianServer;
  readonly #client: pg.Client;
  readonly #schema: string;
  readonly #directory: string;

  private constructor(
    server: DebianServer,
    client: pg.Client,
    version: string,
    schema: string,
    directory: string,
  ) {
    this.serverVersion = version;
    this.#server = server;
    this.#client = client;
    this.#schema = schema;
    this.#directory = directory;
  }

  static async start(
    schema: string,
    rows: number,
    settings: Readonly<Record<string, string>>,
  ): Promise<Dumps> {
    const server = await startDebianServer(settings);
    try {
      const client = await server.connect(DATABASE);
      await createSource(client, schema, rows);
      const directory = await mkdtemp(join(tmpdir(), 'strata-bench-dumps-'));
      return new Dumps(server, client, await versionOf(client), schema, directory);
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** `pg_dump -Fc`. */
  async custom(): Promise<Dump> {
    const file = this.#file('custom');
    await this.#ready();
    const start = performance.now();
    await succeeded(this.#run('pg_dump', ['-Fc', '-n', this.#schema, '-f', file, DATABASE]));
    return { ms: performance.now() - start, bytes: (await stat(file)).size };
  }

  /** `pg_dump | zstd -3`. */
  async zstd(): Promise<Dump> {
    const file = this.#file('zst');
    await this.#ready();
    const start = performance.now();
    const dump = this.#run('pg_dump', ['-n', this.#schema, DATABASE]);
    const compress = spawn('zstd', ['-3', '-q', '-c'], { stdio: [dump.stdout, 'pipe', 'inherit'] });
    await Promise.all([
      succeeded(dump),
      succeeded(compress),
      pipeline(compress.stdout!, createWriteStream(file)),
    ]);
    return { ms: performance.now() - start, bytes: (await stat(file)).size };
  }

  /** `pg_restore -j2` of the last `pg_dump -Fc` into an empty database. @returns milliseconds */
  async restore(): Promise<number> {
    await this.#client.query(`CREATE DATABASE ${RESTORED}`);
    try {
      await this.#ready();
      const start = performance.now();
      const options = ['--no-owner', '--no-privileges', '--exit-on-error'];
      await succeeded(this.#run('pg_restore', ['-j2', '-d', RESTORED, ...options, this.#file('custom')]));
      return performance.now() - start;
    } finally {
      await this.#client.query(`DROP DATABASE ${RESTORED} WITH (FORCE)`);
    }
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #file(kind: string): string {
    return join(this.#directory, kind);
  }

  async #ready(): Promise<void> {
    await this.#client.query('CHECKPOINT');
  }

  #run(tool: string, options: readonly string[]) {
    const login = ['-h', '127.0.0.1', '-p', String(this.#server.port), '-U', 'postgres'];
    return spawn(join(BIN, tool), [...login, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
  }
}

async function succeeded(child: ReturnType<typeof spawn>): Promise<void> {
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${child.spawnfile} ended with ${code}`);
}
