import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import { claimTenant, releaseClaim } from '../../functions/database/transfer/claim.ts';
import { deleteOldRows } from '../../functions/upkeep/delete-old-rows.ts';
import { asTenant, enterTenant } from '../enter-tenant.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase } from '../test-database.ts';
import { AuditedTenant } from './audited-tenant.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await TestDatabase.clone();
});
afterAll(() => database.drop());

/** A dedicated tenant's tables are those of a schema. */
const MODELS = sampled<IsolationModel[]>(['shared', 'schema'], ['shared', 'schema', 'dedicated']);
const tenantIn = async (model: IsolationModel) => AuditedTenant.in(database, await database.addTenant(model));

describe.each(MODELS)('in %s', (model) => {
  test('entries are sealed once they are a minute old; a seal is not changed by the next one', async () => {
    const audited = await tenantIn(model);
    await audited.append(3, 2);
    await audited.append(2, 0);
    expect(await audited.seal()).toEqual({ seals: 1, entries: 3, outcome: 'done' });
    const [first] = await audited.seals();
    await audited.tamper(`UPDATE LOG SET created_at = created_at - interval '61 seconds'
                          WHERE created_at > now() - interval '30 seconds' AND OWN`);
    expect(await audited.seal()).toEqual({ seals: 1, entries: 2, outcome: 'done' });
    expect((await audited.seals())[0]).toEqual(first);
    expect((await audited.verify()).broken).toBeNull();
  });

  test('an entry that became visible late joins the next seal', async () => {
    const audited = await tenantIn(model);
    const client = await database.connect(audited.tenant.login);
    await enterTenant(client, audited.tenant, 'write');
    await client.query(
      `INSERT INTO audit_log (action, resource_type, created_at) VALUES ('late', 'r', now() - interval '65 seconds')`,
    );
    await audited.append(3, 2);
    expect(await audited.seal()).toMatchObject({ seals: 1, entries: 3 });
    await client.query('COMMIT');
    await client.end();
    expect(await audited.verify()).toMatchObject({ broken: null });
    expect(await audited.seal()).toMatchObject({ seals: 1, entries: 1 });
    expect(await audited.verify()).toMatchObject({ broken: null, entries: 4, seals: 2 });
  });

  test('no request waits for a sealer that holds its transaction open', async () => {
    const audited = await tenantIn(model);
    await audited.append(5);
    const writer = await database.connect(audited.tenant.login);
    const waiting = `SELECT count(*)::int AS n FROM pg_stat_activity
                     WHERE cardinality(pg_blocking_pids(pid)) > 0 AND usename = $1`;
    let blocked: number | undefined;
    const sealed = await audited.seal({
      beforeCommit: async () => {
        await enterTenant(writer, audited.tenant, 'write');
        const { processID } = audited.owner as unknown as { processID: number };
        // Each lock of the sealer beside each lock that the write takes: none of them conflict.
        const inserted = writer.query(`INSERT INTO audit_log (action, resource_type) VALUES ('beside', 'r')`);
        await inserted;
        const { rows } = await audited.superuser.query<{ n: number }>(waiting, [audited.tenant.login.user]);
        blocked = rows[0]!.n;
        const locks = await audited.superuser.query<{ mode: string }>(
          `SELECT DISTINCT mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
           WHERE l.pid = $1 AND c.relname LIKE 'audit\\_log%'`,
          [processID],
        );
        expect(locks.rows.map(({ mode }) => mode)).toEqual(['AccessShareLock']);
        await writer.query('COMMIT');
      },
    });
    expect(blocked).toBe(0);
    expect(sealed).toEqual({ seals: 1, entries: 5, outcome: 'done' });
    await writer.end();
  });

  test('sealers at the same time append one chain', async () => {
    const audited = await tenantIn(model);
    await audited.append(40);
    const owners = await Promise.all([1, 2, 3, 4].map(() => database.connect('owner')));
    const outcomes = await Promise.all(owners.map((owner) => audited.seal({ batch: 3 }, owner)));
    expect(outcomes.reduce((sum, { entries }) => sum + entries, 0)).toBe(40);
    expect(await audited.verify()).toMatchObject({ seals: 14, entries: 40, broken: null });
    await Promise.all(owners.map((owner) => owner.end()));
  });

  test('the same number cannot be given to two seals', async () => {
    const audited = await tenantIn(model);
    await audited.append(2);
    await audited.seal();
    const { rows } = await audited.superuser.query(
      `SELECT * FROM ${audited.table('audit_seals')} WHERE ${audited.own}`,
    );
    const columns = Object.keys(rows[0]!);
    await expect(
      audited.superuser.query(
        `INSERT INTO ${audited.table('audit_seals')} (${columns.join(', ')})
         VALUES (${columns.map((_, n) => `$${n + 1}`).join(', ')})`,
        columns.map((name) => rows[0]![name]),
      ),
    ).rejects.toMatchObject({ code: '23505' });
  });

  test('a sealer that is killed before its commit has sealed nothing, and loses nothing', async () => {
    const audited = await tenantIn(model);
    await audited.append(5);
    const mortal = await database.connect('owner');
    const killed = audited.seal(
      {
        beforeCommit: async () => {
          const { processID } = mortal as unknown as { processID: number };
          await audited.superuser.query('SELECT pg_terminate_backend($1, 5000)', [processID]);
        },
      },
      mortal,
    );
    await expect(killed).rejects.toThrow();
    expect(await audited.seals()).toEqual([]);
    expect(await audited.seal()).toEqual({ seals: 1, entries: 5, outcome: 'done' });
    expect((await audited.verify()).broken).toBeNull();
  });

  test('the credential of its requests reads seals, and neither writes them nor changes entries', async () => {
    const audited = await tenantIn(model);
    await audited.append(3);
    await audited.seal();
    const client = await database.connect(audited.tenant.login);
    const refused = { code: '42501' };
    for (const statement of [
      `UPDATE audit_log SET actor = 'user:eve@tenant.test'`,
      'DELETE FROM audit_log',
      'TRUNCATE audit_log',
      `UPDATE audit_seals SET hash = ''`,
      'DELETE FROM audit_seals',
      'TRUNCATE audit_seals',
      `INSERT INTO audit_seals (sequence, format, entries, entry_count, root, sealed_until, retention_months, hash)
       VALUES (2, 1, '', 0, '', now(), 1, '')`,
      'ALTER TABLE audit_log DISABLE TRIGGER ALL',
      'DROP TABLE audit_seals',
    ]) {
      const attempt = asTenant(client, audited.tenant, 'write', () => client.query(statement));
      await expect(attempt, statement).rejects.toMatchObject(refused);
    }
    const { rows } = await asTenant(client, audited.tenant, 'read', () =>
      client.query('SELECT sequence FROM audit_seals'),
    );
    expect(rows).toEqual([{ sequence: 1 }]);
    await client.end();
  });

  test('a tenant that a move has claimed is sealed afterwards', async () => {
    const audited = await tenantIn(model);
    await audited.append(2);
    const attempt = { tenantId: audited.tenant.tenantId, epoch: 1, attemptId: randomUUID() };
    await claimTenant(audited.owner, attempt);
    expect(await audited.seal()).toEqual({ seals: 0, entries: 0, outcome: 'moving' });
    await releaseClaim(audited.owner, attempt);
    expect(await audited.seal()).toEqual({ seals: 1, entries: 2, outcome: 'done' });
  });

  test('what the upkeep deletes has expired; what is removed besides is named', async () => {
    const audited = await tenantIn(model);
    const months = { shared: 12, schema: 24, dedicated: 84 }[model];
    await audited.append(4);
    await audited.tamper('UPDATE LOG SET created_at = created_at - make_interval(months => $1) WHERE OWN', [
      months + 2,
    ]);
    await audited.append(4);
    expect(await audited.seal()).toMatchObject({ entries: 8 });
    const deleted = await deleteOldRows(
      audited.owner,
      { tenantId: audited.tenant.tenantId, tier: audited.tier },
      { now: new Date(), deadline: performance.now() + 30_000 },
    );
    expect(deleted).toEqual({ rows: 4, outcome: 'done' });
    expect(await audited.verify()).toMatchObject({ entries: 8, expired: 4, broken: null });
    const [removed] = await audited.entries();
    await audited.tamper('DELETE FROM LOG WHERE log_id = $1 AND OWN', [removed!.log_id]);
    expect((await audited.verify()).broken).toMatchObject({ how: 'removed', logId: removed!.log_id });
  });
});

test('entries of one moment, as of an import, may be in several seals', async () => {
  const audited = await tenantIn('shared');
  await audited.append(10);
  await audited.tamper('UPDATE LOG SET created_at = (SELECT min(created_at) FROM LOG WHERE OWN) WHERE OWN');
  expect(await audited.seal({ batch: 3 })).toMatchObject({ seals: 4, entries: 10 });
  for (const page of [1, 3, 4, undefined])
    expect(await audited.verify(page)).toMatchObject({ seals: 4, entries: 10, broken: null });
});

test('a shorter retention is recorded by a seal of its own, and still holds when it was longer again later', async () => {
  const audited = await tenantIn('dedicated');
  await audited.append(4);
  await audited.tamper(`UPDATE LOG SET created_at = created_at - interval '30 months' WHERE OWN`);
  await audited.seal();
  const { tenantId } = audited.tenant;
  const options = { deadline: performance.now() + 30_000 };
  const { sealEntries } = await import('../../functions/upkeep/seal-entries.ts');
  const as = (tier: 'business' | 'enterprise') => sealEntries(audited.owner, { tenantId, tier }, options);
  expect(await as('business')).toEqual({ seals: 1, entries: 0, outcome: 'done' });
  await deleteOldRows(audited.owner, { tenantId, tier: 'business' }, { now: new Date(), ...options });
  expect(await as('enterprise')).toEqual({ seals: 1, entries: 0, outcome: 'done' });
  expect((await audited.seals()).map((seal) => seal.retention_months)).toEqual([84, 24, 84]);
  expect(await audited.verify()).toMatchObject({ seals: 3, entries: 4, expired: 4, broken: null });
});

test('ten thousand entries are sealed and verified in several pages', async () => {
  const audited = await tenantIn('shared');
  await audited.append(10_000);
  expect(await audited.seal()).toEqual({ seals: 5, entries: 10_000, outcome: 'done' });
  expect(await audited.verify(3_000)).toMatchObject({ pages: 3, seals: 5, entries: 10_000, broken: null });
  const entries = await audited.entries();
  await audited.tamper(`UPDATE LOG SET actor = 'user:eve@tenant.test' WHERE log_id = $1 AND OWN`, [
    entries[8_765]!.log_id,
  ]);
  expect((await audited.verify(3_000)).broken).toMatchObject({
    how: 'altered',
    sequence: 5,
    logId: entries[8_765]!.log_id,
  });
});
