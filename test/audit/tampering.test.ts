/** Whoever is above all policies changes what was sealed: the verification names it, under every model. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
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

describe.each(MODELS)('in %s', (model) => {
  /** Three seals of ten entries, and five entries that are not sealed yet. */
  const sealed = async (): Promise<AuditedTenant> => {
    const audited = await AuditedTenant.in(database, await database.addTenant(model));
    await audited.append(30);
    expect(await audited.seal({ batch: 10 })).toEqual({ seals: 3, entries: 30, outcome: 'done' });
    await audited.append(5, 0);
    return audited;
  };
  const entry = (how: string, sequence: number | null, logId: unknown) => ({
    what: 'entry',
    how,
    sequence,
    logId,
  });
  const seal = (how: string, sequence: number) => ({ what: 'seal', how, sequence, logId: null });

  test('an untouched log is intact, in one page or in several', async () => {
    const audited = await sealed();
    const whole = { seals: 3, entries: 30, expired: 0, through: 3, done: true, unsealed: 5, broken: null };
    expect(await audited.verify()).toEqual({ ...whole, pages: 1 });
    expect(await audited.verify(10)).toEqual({ ...whole, pages: 3 });
    // A second run finds nothing to seal.
    expect(await audited.seal()).toEqual({ seals: 0, entries: 0, outcome: 'done' });
  });

  test('each value of an entry is covered', async () => {
    const audited = await sealed();
    const [, , , , , , , changed] = await audited.entries();
    const others: Record<string, string> = {
      user_id: 'gen_random_uuid()',
      actor: `'user:eve@tenant.test'`,
      action: `'employee.delete'`,
      resource_type: `'team'`,
      resource_id: 'gen_random_uuid()',
      ip_address: `'10.1.2.4'`,
      user_agent: 'NULL',
      request_data: `request_data || '{"a": 1.5}'`,
      response_status: '403',
      changes: `changes || '{"after": {}}'`,
    };
    for (const [column, value] of Object.entries(others)) {
      await audited.tamper(`UPDATE LOG SET ${column} = ${value} WHERE log_id = $1 AND OWN`, [
        changed!.log_id,
      ]);
      expect([column, (await audited.verify()).broken]).toEqual([
        column,
        entry('altered', 1, changed!.log_id),
      ]);
      await audited.tamper(`UPDATE LOG SET ${column} = $2 WHERE log_id = $1 AND OWN`, [
        changed!.log_id,
        changed![column] !== null && typeof changed![column] === 'object'
          ? JSON.stringify(changed![column])
          : changed![column],
      ]);
      // 1.50 came back as 1.5: numbers keep their decimals only in the database.
      if (column === 'request_data') {
        await audited.tamper(
          `UPDATE LOG SET request_data = jsonb_set(request_data, '{a}', '1.50') WHERE log_id = $1 AND OWN`,
          [changed!.log_id],
        );
      }
      expect([column, (await audited.verify()).broken]).toEqual([column, null]);
    }
  });

  test('an entry that was deleted is named', async () => {
    const audited = await sealed();
    const deleted = (await audited.entries())[14]!;
    await audited.tamper('DELETE FROM LOG WHERE log_id = $1 AND OWN', [deleted.log_id]);
    for (const page of [undefined, 10])
      expect((await audited.verify(page)).broken).toEqual(entry('removed', 2, deleted.log_id));
  });

  test('entries whose order was changed are named', async () => {
    const audited = await sealed();
    const [first, second] = await audited.entries();
    await audited.tamper(
      `UPDATE LOG l SET created_at = o.created_at FROM LOG o
       WHERE l.log_id IN ($1, $2) AND o.log_id IN ($1, $2) AND o.log_id <> l.log_id AND l.OWN`.replace(
        'l.OWN',
        model === 'shared'
          ? `l.tenant_id = '${audited.tenant.tenantId}' AND o.tenant_id = l.tenant_id`
          : 'true',
      ),
      [first!.log_id, second!.log_id],
    );
    expect((await audited.verify()).broken).toEqual(entry('reordered', 1, first!.log_id));
  });

  test.each([undefined, 10])(
    'an entry that was inserted between others is named, and never sealed',
    async (page) => {
      const audited = await sealed();
      const all = await audited.entries();
      const columns = Object.keys(all[0]!).filter((name) => name !== 'log_id' && name !== 'created_at');
      const { rows } = await audited.superuser.query<{ log_id: string }>(
        `INSERT INTO ${audited.table('audit_log')} (${columns.join(', ')}, created_at)
       SELECT ${columns.join(', ')}, created_at + interval '300 microseconds' FROM ${audited.table('audit_log')}
       WHERE log_id = $1 RETURNING log_id`,
        [all[14]!.log_id],
      );
      const added = entry('added', null, rows[0]!.log_id);
      expect((await audited.verify(page)).broken).toEqual(added);
      expect(await audited.seal()).toEqual({ seals: 0, entries: 0, outcome: 'done' });
      expect((await audited.verify(page)).broken).toEqual(added);
    },
  );

  test('an entry that a forged seal lists too late is named', async () => {
    const audited = await sealed();
    const { rows } = await audited.superuser.query<{ log_id: string }>(
      `INSERT INTO ${audited.table('audit_log')} (${model === 'shared' ? 'tenant_id, ' : ''}action, resource_type, created_at)
       VALUES (${model === 'shared' ? `'${audited.tenant.tenantId}', ` : ''}'forged', 'r', now() - interval '20 minutes')
       RETURNING log_id`,
    );
    await audited.forgeSeal(rows[0]!.log_id);
    expect((await audited.verify()).broken).toEqual(entry('added', 4, rows[0]!.log_id));
    expect((await audited.verify(10)).broken).toEqual(entry('added', 4, rows[0]!.log_id));
  });

  test('seals that were changed, removed, exchanged or written anew are named', async () => {
    const audited = await sealed();
    await audited.tamper(`UPDATE SEALS SET retention_months = 1 WHERE sequence = 2 AND OWN`);
    expect((await audited.verify()).broken).toEqual(seal('altered', 2));
    const other = await sealed();
    await other.tamper('DELETE FROM SEALS WHERE sequence = 2 AND OWN');
    expect((await other.verify()).broken).toEqual(seal('removed', 2));
    const exchanged = await sealed();
    await exchanged.tamper('UPDATE SEALS SET sequence = -sequence WHERE sequence > 1 AND OWN');
    await exchanged.tamper('UPDATE SEALS SET sequence = 5 + sequence WHERE sequence < 0 AND OWN');
    expect((await exchanged.verify()).broken).toEqual(seal('reordered', 2));
    const malformed = await sealed();
    await malformed.tamper(`UPDATE SEALS SET entries = 'nonsense' WHERE sequence = 1 AND OWN`);
    expect((await malformed.verify()).broken).toEqual(seal('altered', 1));
  });

  test('a seal that was rewritten with a right hash of its own no longer fits the next one', async () => {
    const audited = await sealed();
    const deleted = (await audited.entries())[3]!;
    await audited.tamper('DELETE FROM LOG WHERE log_id = $1 AND OWN', [deleted.log_id]);
    await audited.rewriteSeal(1, (lines) => lines.filter((line) => !line.startsWith(deleted.log_id)));
    expect((await audited.verify()).broken).toEqual(seal('altered', 2));
  });
});
