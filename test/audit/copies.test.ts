/** Whoever rewrites a database can rewrite its seals as well: the copies in the bucket tell. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sealCopyKey } from '../../functions/contracts/audit-copies.ts';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import { compareCopies, copySeals } from '../../functions/upkeep/seal-copies.ts';
import { type LocalBucket, startLocalBucket } from '../backup/local-bucket.ts';
import { sampled } from '../full-run.ts';
import { TestDatabase } from '../test-database.ts';
import { AuditedTenant } from './audited-tenant.ts';

let database: TestDatabase;
let bucket: LocalBucket;
beforeAll(async () => {
  [database, bucket] = await Promise.all([TestDatabase.clone(), startLocalBucket()]);
});
afterAll(async () => {
  await database?.drop();
  await bucket?.stop();
});

/** A dedicated tenant's tables are those of a schema. */
const MODELS = sampled<IsolationModel[]>(['shared', 'schema'], ['shared', 'schema', 'dedicated']);
const options = () => ({ deadline: performance.now() + 30_000 });

describe.each(MODELS)('in %s', (model) => {
  const chainOf = ({ owner, tenant: { tenantId } }: AuditedTenant) => ({
    owner,
    tenantId,
    store: bucket.store,
  });
  /** Five seals of four entries, all of them copied. */
  const copied = async () => {
    const audited = await AuditedTenant.in(database, await database.addTenant(model));
    await audited.append(20);
    await audited.seal({ batch: 4 });
    expect(await copySeals(chainOf(audited), options())).toEqual({ copied: 5, done: true });
    return audited;
  };
  const seal = (how: string, sequence: number) => ({ what: 'seal', how, sequence, logId: null });

  test('each seal is copied once, and later ones follow', async () => {
    const audited = await copied();
    expect(await copySeals(chainOf(audited), options())).toEqual({ copied: 0, done: true });
    expect(await compareCopies(chainOf(audited))).toBeUndefined();
    await audited.append(4, 0);
    await audited.seal({ batch: 2, ageSeconds: -1 });
    expect(await copySeals(chainOf(audited), options())).toEqual({ copied: 2, done: true });
    const text = await bucket.store.readText(sealCopyKey(audited.tenant.tenantId, 6), 2 ** 20);
    const sixth = (await audited.seals())[5];
    expect(JSON.parse(text)).toMatchObject({ sequence: 6, hash: sixth!.hash, entryCount: 2 });
    expect(text).not.toContain('Chemist');
  });

  test('what could not be copied before the deadline is copied by the next run', async () => {
    const audited = await AuditedTenant.in(database, await database.addTenant(model));
    await audited.append(4);
    await audited.seal({ batch: 1 });
    const late = { deadline: performance.now() - 1 };
    expect(await copySeals(chainOf(audited), late)).toEqual({ copied: 0, done: false });
    expect(await copySeals(chainOf(audited), options())).toEqual({ copied: 4, done: true });
  });

  test('a chain that was written anew, with right hashes throughout, differs from its copies', async () => {
    const audited = await copied();
    const entries = await audited.entries();
    const removed = entries[9]!;
    await audited.tamper('DELETE FROM LOG WHERE log_id = $1 AND OWN', [removed.log_id]);
    let previous = await audited.rewriteSeal(3, (lines) =>
      lines.filter((line) => !line.startsWith(removed.log_id)),
    );
    for (const sequence of [4, 5]) previous = await audited.rewriteSeal(sequence, (lines) => lines, previous);
    // The database alone shows nothing.
    expect((await audited.verify()).broken).toBeNull();
    expect(await compareCopies(chainOf(audited))).toEqual(seal('altered', 3));
    // New seals go on the rewritten chain; none is copied, so the copies stay evidence.
    await audited.append(1, 0);
    await audited.seal({ ageSeconds: -1 });
    expect(await copySeals(chainOf(audited), options())).toEqual({
      copied: 0,
      done: true,
      broken: seal('altered', 3),
    });
    expect(await compareCopies(chainOf(audited))).toEqual(seal('altered', 3));
  });

  test('seals that were removed from the end, with their entries, are missed', async () => {
    const audited = await copied();
    await audited.tamper('DELETE FROM SEALS WHERE sequence > 3 AND OWN');
    const thirteenth = (await audited.entries())[12];
    await audited.tamper('DELETE FROM LOG WHERE created_at >= $1 AND OWN', [thirteenth!.created_at]);
    expect((await audited.verify()).broken).toBeNull();
    expect(await compareCopies(chainOf(audited))).toEqual(seal('removed', 4));
  });

  test('seals that were made anew for the same entries are not the copied ones', async () => {
    const audited = await copied();
    await audited.tamper('DELETE FROM SEALS WHERE OWN');
    await audited.seal({ batch: 4 });
    expect((await audited.verify()).broken).toBeNull();
    expect(await copySeals(chainOf(audited), options())).toMatchObject({ copied: 0 });
    expect(await compareCopies(chainOf(audited))).toEqual(seal('altered', 1));
  });

  test('a copy that was damaged is told from its seal', async () => {
    const audited = await copied();
    const key = sealCopyKey(audited.tenant.tenantId, 5);
    const text = await bucket.store.readText(key, 2 ** 20);
    await bucket.store.putText(key, text.replace('"entryCount":4', '"entryCount":3'), 'application/json');
    expect(await compareCopies(chainOf(audited))).toEqual(seal('altered', 5));
  });
});
