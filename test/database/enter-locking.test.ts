import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { enterTenant, until } from '../enter-tenant.ts';
import { TestDatabase, type TestTenant } from '../test-database.ts';

let database: TestDatabase;
let owner: pg.Client;
let watcher: pg.Client;
let tenant: TestTenant;

beforeAll(async () => {
  database = await TestDatabase.clone();
  owner = await database.connect('owner');
  watcher = await database.connect('superuser');
});
afterAll(() => database.drop());

beforeEach(async () => {
  await owner.query('ROLLBACK');
  tenant = await database.addTenant('shared');
});

const lock = () => owner.query('SELECT pg_advisory_xact_lock(tenancy.lock_key($1))', [tenant.tenantId]);

async function waiting(client: pg.Client): Promise<boolean> {
  const { processID } = client as unknown as { processID: number };
  const { rows } = await watcher.query(
    `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = $1`,
    [processID],
  );
  return rows.length > 0;
}

/** A promise's failure as a value, so that it may come before anybody awaits it. */
const outcome = (promise: Promise<unknown>) =>
  promise.then(
    () => 'entered',
    (error) => error,
  );

describe('a writer that meets a mover', () => {
  test('waits for it, and is refused when it has fenced the tenant', async () => {
    const writer = await database.connect('starter');
    const token = randomUUID();
    await owner.query('BEGIN');
    await lock();
    const entering = outcome(enterTenant(writer, tenant, 'write'));
    await until(() => waiting(writer));
    await owner.query(
      `UPDATE tenancy.placement SET state = 'fenced', fence_token = $2,
         fence_expires_at = clock_timestamp() + interval '5 s' WHERE tenant_id = $1`,
      [tenant.tenantId, token],
    );
    await owner.query('COMMIT');
    const error = await entering;
    expect(error).toMatchObject({ code: 'TN001' });
    expect(JSON.parse(error.detail)).toEqual({
      fenceToken: token,
      fenceExpiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      expired: false,
    });
    await expect(enterTenant(writer, tenant, 'write')).rejects.toMatchObject({ code: 'TN001' });
  });

  test('reads the placement that the mover has left, not the one from before the wait', async () => {
    const writer = await database.connect('starter');
    await owner.query('BEGIN');
    await lock();
    const entering = outcome(enterTenant(writer, tenant, 'write'));
    await until(() => waiting(writer));
    await owner.query('UPDATE tenancy.placement SET epoch = 2 WHERE tenant_id = $1', [tenant.tenantId]);
    await owner.query('COMMIT');
    expect(await entering).toMatchObject({ code: 'TN003' });
  });

  test('goes on when nothing has changed', async () => {
    const writer = await database.connect('starter');
    await owner.query('BEGIN');
    await lock();
    const entering = outcome(enterTenant(writer, tenant, 'write'));
    await until(() => waiting(writer));
    await owner.query('COMMIT');
    expect(await entering).toBe('entered');
  });

  test('gives up as fenced when the mover does not end', async () => {
    const writer = await database.connect('starter');
    await owner.query('BEGIN');
    await lock();
    const error = await outcome(enterTenant(writer, tenant, 'write'));
    expect(error).toMatchObject({ code: 'TN001' });
    expect(JSON.parse(error.detail)).toEqual({ fenceToken: null, fenceExpiresAt: null, expired: null });
    await owner.query('COMMIT');
    // The wait's timeout was the wait's own.
    await enterTenant(writer, tenant, 'write');
    expect((await writer.query('SHOW lock_timeout')).rows).toEqual([{ lock_timeout: '0' }]);
  });

  test('does not overtake one that waits already', async () => {
    const first = await database.connect('starter');
    const second = await database.connect('starter');
    await enterTenant(first, tenant, 'write');
    await owner.query('BEGIN');
    const locked = lock();
    await until(() => waiting(owner));
    const entering = outcome(enterTenant(second, tenant, 'write'));
    await until(() => waiting(second));
    await first.query('COMMIT');
    await locked;
    expect(await waiting(second)).toBe(true);
    await owner.query('COMMIT');
    expect(await entering).toBe('entered');
  });
});

describe('a mover', () => {
  test('has waited out every writer in flight once it holds the lock', async () => {
    const writer = await database.connect('starter');
    await enterTenant(writer, tenant, 'write');
    await owner.query("BEGIN; SET LOCAL lock_timeout = '50ms'");
    await expect(lock()).rejects.toMatchObject({ code: '55P03' });
    await owner.query('ROLLBACK');
    await writer.query('COMMIT');
    await owner.query("BEGIN; SET LOCAL lock_timeout = '50ms'");
    await lock();
    await owner.query('COMMIT');
  });

  test('keeps neither readers nor other tenants waiting', async () => {
    const other = await database.addTenant('shared');
    const client = await database.connect('starter');
    await owner.query('BEGIN');
    await lock();
    await client.query("SET statement_timeout = '400ms'");
    await enterTenant(client, tenant, 'read');
    await client.query('COMMIT');
    await enterTenant(client, other, 'write');
    await client.query('COMMIT');
    await owner.query('COMMIT');
  });
});

describe('behind a fence', () => {
  const fence = async (expiry: string): Promise<string> => {
    const token = randomUUID();
    await owner.query(
      `UPDATE tenancy.placement SET state = 'fenced', fence_token = $2,
         fence_expires_at = clock_timestamp() + $3::interval WHERE tenant_id = $1`,
      [tenant.tenantId, token, expiry],
    );
    return token;
  };
  const clear = async (client: pg.Client, token: string): Promise<boolean> => {
    const { rows } = await client.query('SELECT tenancy.clear_fence($1, $2) AS cleared', [
      tenant.tenantId,
      token,
    ]);
    return rows[0].cleared;
  };

  test('readers go on', async () => {
    await fence('5 s');
    await enterTenant(await database.connect('starter'), tenant, 'read');
  });

  test('writers are told when it has expired, and may then clear it', async () => {
    const writer = await database.connect('starter');
    const token = await fence('-1 ms');
    const error = await outcome(enterTenant(writer, tenant, 'write'));
    expect(JSON.parse(error.detail)).toMatchObject({ fenceToken: token, expired: true });
    expect(await clear(writer, token)).toBe(true);
    expect(await clear(writer, token)).toBe(false);
    await enterTenant(writer, tenant, 'write');
  });

  test('nobody clears one that has not expired, by another token, or of another role’s tenant', async () => {
    const writer = await database.connect('starter');
    const live = await fence('5 s');
    expect(await clear(writer, live)).toBe(false);
    const expired = await fence('-1 ms');
    expect(await clear(writer, randomUUID())).toBe(false);
    const stranger = await database.addTenant('schema');
    expect(await clear(await database.connect(stranger.login), expired)).toBe(false);
    await expect(enterTenant(writer, tenant, 'write')).rejects.toMatchObject({ code: 'TN001' });
  });

  test('clearing waits for a mover that is about to flip', async () => {
    const writer = await database.connect('starter');
    const token = await fence('-1 ms');
    await owner.query('BEGIN');
    await lock();
    const clearing = clear(writer, token);
    await until(() => waiting(writer));
    await owner.query(`UPDATE tenancy.placement SET state = 'moved', forward = '{}' WHERE tenant_id = $1`, [
      tenant.tenantId,
    ]);
    await owner.query('COMMIT');
    expect(await clearing).toBe(false);
  });

  test('a mover enters with the fence’s token, and no other does', async () => {
    const token = await fence('5 s');
    const enter = (value: string | null) =>
      outcome(owner.query('SELECT tenancy.enter_move($1, $2)', [tenant.tenantId, value]));
    expect(await enter(token)).toBe('entered');
    expect(await enter(null)).toMatchObject({ code: 'TN001' });
    expect(await enter(randomUUID())).toMatchObject({ code: 'TN001' });
  });
});
