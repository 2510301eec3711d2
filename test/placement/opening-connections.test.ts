import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DatabasePools } from '../../functions/database/session/pools.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

/** A way to the server that lets connections through one by one, as a busy machine does. */
class Gate {
  readonly #server: Server;
  readonly #held: (() => void)[] = [];
  readonly #sockets = new Set<Socket>();
  #passes = 0;
  /** Connections that were begun. */
  begun = 0;
  port = 0;

  constructor(target: number) {
    this.#server = createServer((client) => {
      this.begun += 1;
      this.#sockets.add(client);
      client.on('error', () => {}).pause();
      const pass = () => {
        const server = dial(target, '127.0.0.1');
        this.#sockets.add(server);
        server.on('error', () => {});
        client.pipe(server).pipe(client);
      };
      if (this.#passes > 0) {
        this.#passes -= 1;
        pass();
      } else this.#held.push(pass);
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    this.port = (this.#server.address() as { port: number }).port;
  }

  /** Lets so many connections through, of those that wait first. */
  letPass(count: number): void {
    for (let n = 0; n < count; n++) {
      const pass = this.#held.shift();
      if (pass) pass();
      else this.#passes += 1;
    }
  }

  /** Refuses those that wait. */
  refuseHeld(): void {
    this.#held.length = 0;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

let database: TestDatabase;
let tenant: TestTenant;
let gate: Gate;
let pools: DatabasePools;
beforeAll(async () => {
  database = await TestDatabase.clone();
  tenant = await database.addTenant('schema');
  tls.setDefaultCACertificates([...tls.rootCertificates, database.server.certificate]);
});
afterAll(() => database.drop());
beforeEach(async () => {
  gate = new Gate(database.server.port);
  await gate.listen();
  const credentials = {
    get: async () => ({ username: tenant.login.user, password: tenant.login.password }),
    forget: () => {},
  };
  pools = new DatabasePools(credentials, { cap: 4, pipeline: true });
});
afterEach(async () => {
  gate.refuseHeld();
  await pools.end();
  gate.close();
});

const address = () => ({
  host: '127.0.0.1',
  port: gate.port,
  database: database.name,
  secretArn: 'secret',
  poolSize: 10,
});
async function request(): Promise<number> {
  const client = await pools.connect(address());
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  client.release();
  return rows[0]!.pid;
}

test('a burst at a new place is served by the first connection that is ready, while another one is being opened', async () => {
  const answers = Array.from({ length: 30 }, request);
  await expect.poll(() => gate.begun).toBe(2);
  gate.letPass(1);
  expect(new Set(await Promise.all(answers)).size).toBe(1);
  // In place of the one that has opened, another one is begun; without the queue there would be ten.
  expect(gate.begun).toBeLessThanOrEqual(3);
});

test('requests that take long get connections of their own, up to the size of the pool', async () => {
  gate.letPass(10);
  const clients = await Promise.all(Array.from({ length: 10 }, () => pools.connect(address())));
  expect(gate.begun).toBe(10);
  let served = false;
  const eleventh = request().finally(() => {
    served = true;
  });
  await clients[0]!.query('SELECT 1');
  expect([gate.begun, served]).toEqual([10, false]);
  for (const client of clients) client.release();
  await eleventh;
});

test('a connection that breaks in use is replaced for those who wait', async () => {
  gate.letPass(10);
  const clients = await Promise.all(Array.from({ length: 10 }, () => pools.connect(address())));
  const waiting = [request(), request(), request()];
  gate.letPass(1);
  for (const client of clients) client.release(true);
  await Promise.all(waiting);
  expect(gate.begun).toBeGreaterThan(10);
});

test('all who wait for a place that refuses are told at once', async () => {
  const answers = Array.from({ length: 30 }, request);
  await expect.poll(() => gate.begun).toBe(2);
  gate.refuseHeld();
  const outcomes = await Promise.allSettled(answers);
  expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['rejected']));
});

test('who waits when a pool is discarded is still served, and who comes later opens another one', async () => {
  const waiting = [request(), request(), request()];
  await expect.poll(() => gate.begun).toBe(2);
  pools.discard(address());
  const later = request();
  gate.letPass(10);
  await Promise.all([...waiting, later]);
});
