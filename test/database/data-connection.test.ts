import tls from 'node:tls';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { dataConnection } from '../../functions/database/provisioning/data-connection.ts';
import { startLocalSecrets } from '../move/local-secrets.ts';
import { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await TestDatabase.clone();
});
afterAll(() => database.drop());

const target = (password?: string) => {
  const { host, port, logins } = inject('databaseServer');
  const { user: username } = logins.owner;
  return {
    host,
    port,
    database: database.name,
    credentials: { username, password: password ?? logins.owner.password },
  };
};

/** Before the next test: what this process trusts is the process's own. */
test('a server whose certificate nobody vouches for is refused', async () => {
  await expect(dataConnection(target())).rejects.toMatchObject({
    code: expect.stringMatching(/SELF_SIGNED|VERIFY/),
  });
});

test('the wrong password is refused by the server, in its own words', async () => {
  trustTestServer();
  await expect(fresh(target('wrong'))).rejects.toMatchObject({ code: '28P01' });
});

test('a connection is encrypted, and speaks values as JSON answers do', async () => {
  trustTestServer();
  const client = await fresh(target());
  const { rows } = await client.query(
    `SELECT ssl, version, 1.5::numeric AS number, timestamptz '2026-01-02 03:04:05.678901Z' AS time
     FROM pg_stat_ssl WHERE pid = pg_backend_pid()`,
  );
  expect(rows).toEqual([{ ssl: true, version: 'TLSv1.3', number: 1.5, time: '2026-01-02T03:04:05.678901Z' }]);
  await client.end();
});

test('a login that is refused is tried with the password that the secret had before, and with the new one again', async () => {
  trustTestServer();
  const secrets = await startLocalSecrets();
  try {
    const { user, password } = inject('databaseServer').logins.owner;
    const { credentials: _, ...address } = target();
    const bySecret = { ...address, secretArn: 'the-owner' };
    const signIn = async () => (await fresh(bySecret)).end();
    await secrets.put('the-owner', { user, password });
    await signIn();
    // The secret is changed first, the role a moment later.
    await secrets.put('the-owner', { user, password: 'the next one' });
    await signIn();
    await secrets.put('the-owner', { user, password });
    await signIn();
    await secrets.put('the-owner', { user, password: 'wrong' });
    await secrets.put('the-owner', { user, password: 'wrong too' });
    await expect(signIn()).rejects.toMatchObject({ code: '28P01' });
  } finally {
    await secrets.stop();
  }
});

function trustTestServer(): void {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), inject('databaseServer').certificate]);
}

/** As a new process would: the module remembers what was trusted when it first connected. */
async function fresh(to: Parameters<typeof dataConnection>[0]): ReturnType<typeof dataConnection> {
  const { vi } = await import('vitest');
  vi.resetModules();
  const module = await import('../../functions/database/provisioning/data-connection.ts');
  return module.dataConnection(to);
}
