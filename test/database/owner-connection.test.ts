import tls from 'node:tls';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { asOwner } from '../../functions/database/session/owner-connection.ts';
import { type LocalSecrets, startLocalSecrets } from '../move/local-secrets.ts';
import { TestDatabase } from '../test-database.ts';

let database: TestDatabase;
let secrets: LocalSecrets;
beforeAll(async () => {
  const { logins, certificate } = inject('databaseServer');
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificate]);
  database = await TestDatabase.clone();
  secrets = await startLocalSecrets();
  await secrets.put('owner', logins.owner);
});
afterAll(async () => {
  await secrets?.stop();
  await database?.drop();
});

test('a statement that nobody waits for holds up no step, and PostgreSQL finishes it', async () => {
  const { host: writerHost, port } = inject('databaseServer');
  const place = { writerHost, port, database: database.name, ownerSecret: 'owner' };
  const owner = await database.connect('owner');
  await owner.query('CREATE SCHEMA slow; CREATE TABLE slow.slow (n integer)');
  await owner.query('BEGIN; LOCK TABLE slow.slow');
  const built = async () =>
    (await superuser.query("SELECT FROM pg_indexes WHERE indexname = 'slow_n_idx'")).rowCount === 1;
  const superuser = await database.connect('superuser');
  const waits = async () =>
    (await superuser.query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'slow.slow'::regclass"))
      .rowCount === 1;
  // It would wait for the lock for ever.
  await asOwner(
    place,
    async (connection) => {
      connection.query('CREATE INDEX ON slow.slow (n)').catch(() => {});
      await expect.poll(waits).toBe(true);
    },
    { pipeline: true },
  );
  expect(await built()).toBe(false);
  await owner.query('COMMIT');
  await expect.poll(built).toBe(true);
});
