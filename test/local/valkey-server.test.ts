import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'iovalkey';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { internals, stateFile, valkeyProgram } from '../../infra/local/index.ts';

const { LocalCaches, localCertificates, startValkey } = await internals();
const program = valkeyProgram();
if (!program) console.warn('left out: tests of local caches, which need valkey-server or redis-server');

let directory: string;
let certificates: Awaited<ReturnType<typeof localCertificates>>;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'strata-caches-'));
  const tls = join(directory, 'tls');
  mkdirSync(tls);
  certificates = await localCertificates(tls);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const start = () =>
  startValkey({
    program: program as string,
    directory: join(directory, 'server'),
    certificate: certificates.serverCertificate,
    key: certificates.serverKey,
    users: [{ name: 'one', password: 'secret', access: 'on ~tenant:* resetchannels -@all +get' }],
    maxMemoryMb: 16,
  });

describe.skipIf(!program)('a local cache server', () => {
  test('has the users that it was given, what they may do, and no other', async () => {
    const server = await start();
    const connect = (username: string | undefined, password: string) =>
      new Redis({
        host: '127.0.0.1',
        port: server.port,
        tls: { ca: certificates.caCertificate },
        ...(username === undefined ? {} : { username, password }),
        enableReadyCheck: false,
        maxRetriesPerRequest: 0,
        retryStrategy: () => null,
      }).on('error', () => {});
    const user = connect('one', 'secret');
    expect(await user.get('tenant:x')).toBeNull();
    await expect(user.get('other:x')).rejects.toThrow('NOPERM');
    await expect(user.set('tenant:x', '1')).rejects.toThrow('NOPERM');
    const nobody = connect(undefined, '');
    await expect(nobody.get('tenant:x')).rejects.toThrow();
    for (const client of [user, nobody]) client.disconnect();
    await server.stop();
    await expect.poll(() => isAlive(server.pid)).toBe(false);
  });

  test('that a killed platform has left is ended by the next start', async () => {
    const left = await start();
    const next = await start();
    await expect.poll(() => isAlive(left.pid)).toBe(false);
    await next.stop();
  });
});

test('without a program, a cache of a template is an address at which nothing listens, said in one line', async () => {
  const log: string[] = [];
  const caches = new LocalCaches(certificates, (line) => log.push(line), '/nowhere/valkey-server');
  const factory = caches.factories().find(({ type }) => type === 'AWS::ElastiCache::ServerlessCache');
  const context = {
    stateDir: directory,
    account: '1',
    stacks: new Map(),
    state: stateFile(join(directory, 'state')),
  };
  for (const name of ['strata-us-1', 'strata-us-2']) {
    const made = await factory?.create(
      {
        properties: { ServerlessCacheName: name, UserGroupId: 'g' },
        stack: { region: 'us-east-1' },
      } as never,
      context as never,
    );
    expect(Number(made?.attributes['Endpoint.Port'])).toBeGreaterThan(0);
  }
  expect(log).toHaveLength(1);
  expect(log[0]).toMatch(/^no cache of tenants' data and no limits of requests: /);
  await caches.stop();
});
