/**
 * The workflow of a restore dies between two phases, or its process dies at a commit of the fill. Recovery then ends
 * the restore: it settles a committed hop and rolls back any other. The same request succeeds afterwards.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { BackupManifest } from '../../functions/backups/manifest.ts';
import type { IsolationModel } from '../../functions/contracts/tenant.ts';
import type { Probes } from '../../functions/moves/recover-moves.ts';
import { recoverMoves } from '../../functions/moves/recover-moves.ts';
import type { BackedUp } from '../backup/backup-world.ts';
import { FULL_RUN, sampled } from '../full-run.ts';
import { mortal, patchClients } from '../move/mortal-mover.ts';
import { type AskedRestore, RestoreWorld, type Rows, restoredTables } from './restore-world.ts';
import { damage } from './tenant-rows.ts';

const dead: Probes = { statusOf: async () => 'ended' };

let world: RestoreWorld;
let unpatch: () => void;
beforeAll(async () => {
  unpatch = patchClients();
  world = await RestoreWorld.start();
});
afterAll(async () => {
  unpatch?.();
  await world?.stop();
});

const ALONE = [
  'begin',
  'plan',
  'next-hop',
  '0 prepare',
  '0 fill',
  '0 copy',
  '0 index',
  '0 catch-up',
  '0 cut-over',
];
const AFTER = ['0 compare', '0 settle', 'discards', 'finish'];
const HOME = ['1 prepare', '1 copy', '1 catch-up', '1 cut-over', '1 compare', '1 settle'];
/** Phases before which the workflow dies. */
const KILLS: Readonly<Record<IsolationModel, readonly string[]>> = {
  shared: [...ALONE, '0 credentials', ...AFTER, ...HOME],
  schema: [...ALONE, ...AFTER],
  dedicated: [...ALONE, ...AFTER],
};
const SAMPLES: Readonly<Record<IsolationModel, readonly string[]>> = {
  shared: ['1 cut-over'],
  schema: ['0 copy'],
  dedicated: ['discards'],
};

describe.each(['shared', 'schema', 'dedicated'] as const)(
  'a restore of a tenant of the %s model',
  (model) => {
    let tenant: BackedUp;
    let backup: BackupManifest;
    let original: Rows;
    let damaged: Rows;

    beforeAll(async () => {
      tenant = await world.addTenant(model);
      await world.addRows(tenant.tenantId, 150);
      backup = await world.backUp(tenant, { partBytes: 15_000 });
      original = await world.rows(tenant.tenantId, restoredTables);
    });
    beforeEach(async () => {
      await damage(world, tenant, [{ table: 'employees', kind: 'update', part: 1 }]);
      damaged = await world.rows(tenant.tenantId);
    });

    const ask = () => world.ask(tenant.tenantId, { mode: 'replace', backupId: backup.backupId });

    test.each(sampled(SAMPLES[model], KILLS[model]))(
      'whose workflow dies before %s is recovered',
      async (phase) => {
        const traces = await world.traces(tenant.tenantId);
        const asked = await ask();
        const done = await world.run(asked, phase);
        const isSwapped = done.includes('0 cut-over');
        const isWhole = done.includes(model === 'shared' ? '1 cut-over' : '0 cut-over');

        expect((await recoverMoves(world.registry, dead)).moves).toEqual([asked.restoreId]);

        const reason = expect.stringMatching(
          /^The workflow of the restore ended before the restore was done\./,
        );
        expect(await world.view(asked)).toMatchObject(
          isWhole ? { status: 'succeeded' } : { status: 'aborted', reason },
        );
        if (isSwapped) expect(await world.rows(tenant.tenantId, restoredTables)).toEqual(original);
        else {
          expect(await world.rows(tenant.tenantId)).toEqual(damaged);
          expect(await world.traces(tenant.tenantId)).toEqual(traces);
        }
        expect((await recoverMoves(world.registry, dead)).moves).toEqual([]);
        await expectToSucceedNow();
        await cleanUp();
      },
    );

    /** Checks that the same request succeeds and that the tenant has its tier's isolation model. */
    async function expectToSucceedNow(): Promise<void> {
      const again = await ask();
      await world.run(again);
      expect(await world.view(again)).toMatchObject({ status: 'succeeded', reason: null });
      expect(await world.rows(tenant.tenantId, restoredTables)).toEqual(original);
      expect((await world.rows(tenant.tenantId)).audit_log).toEqual(damaged.audit_log);
      expect(await world.hasModelOfTier(tenant.tenantId)).toBe(true);
    }

    /** Cleans up after all restores so far, and checks that one place is left. */
    async function cleanUp(): Promise<void> {
      const moves = await world.registry.query<{ id: string }>(
        `SELECT DISTINCT move_id::text AS id FROM tenant_move_hops WHERE tenant_id = :tenantId::uuid AND state = 'settled'`,
        { tenantId: tenant.tenantId },
      );
      for (const { id } of moves) await world.cleanUp(id);
      const traces = await world.traces(tenant.tenantId);
      const { schemaName } = await world.place(tenant.tenantId);
      const own = model === 'shared' ? [] : [`schema ${schemaName}`];
      expect(traces.filter((line) => line.startsWith('schema'))).toEqual(own);
      expect(traces.filter((line) => /^(role|secret)/.test(line))).toHaveLength(model === 'shared' ? 0 : 1);
    }

    // Phase `fill` of a Starter tenant fills a schema, too.
    test.runIf(model === 'schema' || (FULL_RUN && model === 'dedicated'))(
      'whose process dies at a commit of the fill continues in the next process',
      async () => {
        const fill = (asked: AskedRestore) => world.phase(asked.restoreId, 0, 'fill');
        const counted = await ask();
        await world.run(counted, '0 fill');
        const { commits } = await mortal(Infinity, () => fill(counted));
        await recoverMoves(world.registry, dead);
        expect(commits).toBeGreaterThan(20);
        const all = Array.from({ length: commits }, (_, index) => index + 1);
        for (const at of sampled([Math.floor(commits / 3)], all)) {
          for (const moment of sampled<('before' | 'after')[]>(['after'], ['before', 'after'])) {
            await damage(world, tenant, [{ table: 'employees', kind: 'update', part: 1 }]);
            damaged = await world.rows(tenant.tenantId);
            const asked = await ask();
            await world.run(asked, '0 fill');
            const { died } = await mortal(at, () => fill(asked), moment);
            // The number of commits varies, because the two lanes interleave differently each time.
            if (at < commits / 2) expect(died, `${moment} commit ${at}`).toBe(true);
            expect(await world.rows(tenant.tenantId)).toEqual(damaged);
            await fill(asked);
            await world.run(asked);
            expect(await world.rows(tenant.tenantId, restoredTables), `${moment} commit ${at}`).toEqual(
              original,
            );
          }
        }
        await cleanUp();
      },
      600_000,
    );
  },
);
