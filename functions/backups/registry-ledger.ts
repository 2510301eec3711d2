import { ownerSecretOf } from '../placement/tenant-names.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { type JsonText, parseJson } from '../registry/registry-column.ts';
import { asText, now, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { getTenant } from '../registry/tenant-record.ts';
import { listUsers } from '../registry/tenant-users.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { MAX_LIMIT } from '../resources/keyset-page.ts';
import type {
  BackupLedger,
  BackupPlan,
  BackupRecord,
  ClaimedPart,
  CompletedPart,
  PartRange,
  PartResult,
  PlannedPart,
  PresentWorker,
  WorkerReference,
} from './backup-ledger.ts';
import type { BackedUpTenant, BackedUpUser } from './manifest.ts';

type Registry = Pick<DataApi, 'transaction' | 'query'>;
type Lanes = BackupRecord['lanes'];

/** State of the running backup whose row the transaction has locked. */
interface LockedBackup {
  readonly lanes: Lanes;
  readonly snapshotAt: string | null;
}

/** Parts per statement: a request of the Data API is limited to 4 MiB. */
const PARTS_AT_ONCE = 1_000;

/**
 * The ledger of one backup in `tenant_backups` and `tenant_backup_parts`. Every transaction that changes lanes or parts
 * locks the backup's row first, which serializes the calls of the two lanes' workers.
 */
export class RegistryLedger implements BackupLedger {
  readonly #registry: Registry;
  readonly #backupId: string;

  constructor(registry: Registry, backupId: string) {
    this.#registry = registry;
    this.#backupId = backupId;
  }

  async read(): Promise<BackupRecord | undefined> {
    const row = await registrySql(this.#registry)
      .selectFrom('tenant_backups as b')
      .leftJoin('tenant_database_routing as r', 'r.tenant_id', 'b.tenant_id')
      .leftJoin('cells as c', 'c.cell_id', 'r.cell_id')
      .select(['b.backup_id', 'b.tenant_id', 'b.tier', 'b.region', 'b.status', 'b.prefix', 'b.attempt'])
      .select(['r.cell_id', 'r.writer_host', 'r.database_port', 'r.database_name'])
      .select((eb) => [
        eb.fn.coalesce('c.owner_secret_arn', 'r.owner_secret_arn').as('owner_secret_arn'),
        asText(eb.ref('b.plan')).as('plan'),
        asText(eb.ref('b.lanes')).as('lanes'),
        rfc3339(eb.ref('b.started_at')).as('started_at'),
        rfc3339(eb.ref('b.snapshot_at')).as('snapshot_at'),
        rfc3339(eb.ref('b.expires_at')).as('expires_at'),
        ...(['waiting', 'working', 'done'] as const).map((state) =>
          eb
            .selectFrom('tenant_backup_parts as p')
            .select(eb.fn.countAll<number>().as('n'))
            .whereRef('p.backup_id', '=', 'b.backup_id')
            .where('p.state', '=', state)
            .$asScalar()
            .$notNull()
            .as(state),
        ),
      ])
      .where('b.backup_id', '=', this.#backupId)
      .executeTakeFirst();
    if (!row) return undefined;
    const { waiting, working, done } = row as unknown as Record<'waiting' | 'working' | 'done', number>;
    return {
      backupId: row.backup_id,
      tenantId: row.tenant_id,
      tier: row.tier,
      region: row.region,
      cellId: row.cell_id,
      database: {
        writerHost: row.writer_host ?? '',
        port: row.database_port ?? 0,
        database: row.database_name ?? '',
        ownerSecret: ownerSecretOf(row.owner_secret_arn, row.tenant_id),
      },
      status: row.status,
      prefix: row.prefix,
      startedAt: row.started_at,
      expiresAt: row.expires_at,
      attempt: row.attempt,
      plan: row.plan === null ? null : (parseJson(row.plan) as unknown as BackupPlan),
      snapshotAt: row.snapshot_at,
      lanes: parseJson(row.lanes),
      parts: { waiting, working, done },
    };
  }

  async readTenant(): Promise<{ tenant: BackedUpTenant; users: BackedUpUser[] }> {
    const { tenant_id: tenantId } = await registrySql(this.#registry)
      .selectFrom('tenant_backups')
      .select('tenant_id')
      .where('backup_id', '=', this.#backupId)
      .executeTakeFirstOrThrow();
    const tenant = await getTenant(this.#registry, tenantId);
    const users: BackedUpUser[] = [];
    let cursor: string | undefined;
    do {
      const page = await listUsers(this.#registry, tenantId, { limit: MAX_LIMIT, cursor });
      users.push(...page.items.map((user) => ({ ...user })));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    return { tenant: { ...tenant }, users };
  }

  async plan(from: number, plan: BackupPlan, parts: readonly PlannedPart[]): Promise<boolean> {
    const planned = await this.#locked(from, async (transaction) => {
      const db = registrySql(transaction);
      await db.deleteFrom('tenant_backup_parts').where('backup_id', '=', this.#backupId).execute();
      for (let first = 0; first < parts.length; first += PARTS_AT_ONCE) {
        await db
          .insertInto('tenant_backup_parts')
          .values(
            parts.slice(first, first + PARTS_AT_ONCE).map(({ table, index, range }, position) => ({
              backup_id: this.#backupId,
              part: first + position,
              table_name: table,
              part_index: index,
              range: range === null ? null : { ...range },
            })),
          )
          .execute();
      }
      await db
        .updateTable('tenant_backups')
        .set({
          attempt: from + 1,
          phase: 'copy',
          plan: { ...plan },
          isolation_model: plan.isolationModel,
          epoch: plan.epoch,
          schema_version: plan.schemaVersion,
          lanes: [null, null],
          snapshot_at: null,
          updated_at: now,
        })
        .where('backup_id', '=', this.#backupId)
        .execute();
      return true;
    });
    return planned ?? false;
  }

  async join(
    { attempt, lane, worker }: WorkerReference,
    snapshot: string,
    first?: { readonly snapshotAt: string },
  ): Promise<boolean> {
    const joined = await this.#locked(attempt, async (transaction, { lanes, snapshotAt }) => {
      if (first && snapshotAt !== null) return false;
      const former = lanes[lane];
      if (former && former.worker !== worker) {
        await registrySql(transaction)
          .updateTable('tenant_backup_parts')
          .set({ state: 'waiting', worker: null, updated_at: now })
          .where('backup_id', '=', this.#backupId)
          .where('state', '=', 'working')
          .where('worker', '=', former.worker)
          .execute();
      }
      await this.#setLanes(transaction, replaced(lanes, lane, { worker, snapshot }), first?.snapshotAt);
      return true;
    });
    return joined ?? false;
  }

  async leave({ attempt, lane, worker }: WorkerReference): Promise<boolean> {
    const left = await this.#locked(attempt, async (transaction, { lanes }) => {
      if (lanes[lane]?.worker !== worker) return false;
      const isOtherPresent = lanes[lane === 0 ? 1 : 0] !== null;
      if (!isOtherPresent && (await this.#undoneParts(transaction)) > 0) return false;
      await this.#setLanes(transaction, replaced(lanes, lane, null));
      return true;
    });
    return left ?? false;
  }

  claim({ attempt, lane, worker }: WorkerReference): Promise<ClaimedPart | undefined> {
    return this.#locked(attempt, async (transaction, { lanes }) => {
      if (lanes[lane]?.worker !== worker) return undefined;
      const claimed = await registrySql(transaction)
        .updateTable('tenant_backup_parts')
        .set({ state: 'working', worker, updated_at: now })
        .where('backup_id', '=', this.#backupId)
        .where('part', '=', (eb) =>
          eb
            .selectFrom('tenant_backup_parts as waiting')
            .select((next) => next.fn.min('waiting.part').as('part'))
            .where('waiting.backup_id', '=', this.#backupId)
            .where((part) =>
              part.or([
                part('waiting.state', '=', 'waiting'),
                part.and([part('waiting.state', '=', 'working'), part('waiting.worker', '=', worker)]),
              ]),
            ),
        )
        .returning((eb) => ['part', 'table_name', 'part_index', asText(eb.ref('range')).as('range')])
        .executeTakeFirst();
      return (
        claimed && {
          part: claimed.part,
          table: claimed.table_name,
          index: claimed.part_index,
          range: readRange(claimed.range),
        }
      );
    });
  }

  async complete({ attempt, worker }: WorkerReference, part: number, result: PartResult): Promise<boolean> {
    const completed = await this.#locked(attempt, async (transaction) => {
      const rows = await registrySql(transaction)
        .updateTable('tenant_backup_parts')
        .set({
          state: 'done',
          worker: null,
          object_key: result.key,
          rows: result.rows,
          raw_bytes: result.rawBytes,
          stored_bytes: result.storedBytes,
          sha256: result.sha256,
          content_hash: result.contentHash,
          updated_at: now,
        })
        .where('backup_id', '=', this.#backupId)
        .where('part', '=', part)
        .where('state', '=', 'working')
        .where('worker', '=', worker)
        .returning('part')
        .execute();
      if (rows.length > 0) return true;
      // The same key means that the answer to an earlier call was lost: a key is never used twice.
      const known = await registrySql(transaction)
        .selectFrom('tenant_backup_parts')
        .select('part')
        .where('backup_id', '=', this.#backupId)
        .where('part', '=', part)
        .where('state', '=', 'done')
        .where('object_key', '=', result.key)
        .executeTakeFirst();
      return known !== undefined;
    });
    return completed ?? false;
  }

  async completedParts(attempt: number): Promise<CompletedPart[] | undefined> {
    const parts: CompletedPart[] = [];
    // In pages, because an answer of the Data API is limited to 1 MiB.
    for (;;) {
      const rows = await registrySql(this.#registry)
        .selectFrom('tenant_backup_parts as p')
        .innerJoin('tenant_backups as b', 'b.backup_id', 'p.backup_id')
        .select(['p.part', 'p.state', 'p.table_name', 'p.part_index', 'p.object_key', 'p.rows'])
        .select(['p.raw_bytes', 'p.stored_bytes', 'p.sha256', 'p.content_hash'])
        .select((eb) => asText(eb.ref('p.range')).as('range'))
        .where('p.backup_id', '=', this.#backupId)
        .where('b.attempt', '=', attempt)
        .where('b.status', 'in', ['running', 'succeeded'])
        .where('p.part', '>=', parts.length)
        .orderBy('p.part')
        .limit(PARTS_AT_ONCE)
        .execute();
      for (const row of rows) {
        const { object_key: key, sha256, content_hash: contentHash, rows: count } = row;
        if (row.state !== 'done' || key === null || sha256 === null || contentHash === null) return undefined;
        parts.push({
          part: row.part,
          table: row.table_name,
          index: row.part_index,
          range: readRange(row.range),
          key,
          rows: count ?? 0,
          rawBytes: row.raw_bytes ?? 0,
          storedBytes: row.stored_bytes ?? 0,
          sha256,
          contentHash,
        });
      }
      if (rows.length < PARTS_AT_ONCE) break;
    }
    return parts.length > 0 ? parts : undefined;
  }

  async finish(
    attempt: number,
    {
      manifestSha256,
      rows,
      bytes,
    }: { readonly manifestSha256: string; readonly rows: number; readonly bytes: number },
  ): Promise<boolean> {
    const db = registrySql(this.#registry);
    const finished = await db
      .updateTable('tenant_backups')
      .set({
        status: 'succeeded',
        phase: 'finished',
        manifest_sha256: manifestSha256,
        rows,
        bytes,
        finished_at: now,
        updated_at: now,
      })
      .where('backup_id', '=', this.#backupId)
      .where('status', '=', 'running')
      .where('attempt', '=', attempt)
      .returning('backup_id')
      .execute();
    if (finished.length > 0) return true;
    const known = await db
      .selectFrom('tenant_backups')
      .select('backup_id')
      .where('backup_id', '=', this.#backupId)
      .where('status', '=', 'succeeded')
      .where('manifest_sha256', '=', manifestSha256)
      .executeTakeFirst();
    return known !== undefined;
  }

  /** Runs `work` with the backup's row locked. @returns undefined if the backup is not running in this attempt. */
  #locked<Result>(
    attempt: number,
    work: (transaction: RegistryExecutor, backup: LockedBackup) => Promise<Result>,
  ): Promise<Result | undefined> {
    return this.#registry.transaction(async (transaction) => {
      await boundTransaction(transaction);
      const row = await registrySql(transaction)
        .selectFrom('tenant_backups as b')
        .select((eb) => [
          asText(eb.ref('b.lanes')).as('lanes'),
          rfc3339(eb.ref('b.snapshot_at')).as('snapshot_at'),
        ])
        .where('b.backup_id', '=', this.#backupId)
        .where('b.status', '=', 'running')
        .where('b.attempt', '=', attempt)
        .forUpdate()
        .executeTakeFirst();
      return row && work(transaction, { lanes: parseJson(row.lanes), snapshotAt: row.snapshot_at });
    });
  }

  async #setLanes(transaction: RegistryExecutor, lanes: Lanes, snapshotAt?: string): Promise<void> {
    await registrySql(transaction)
      .updateTable('tenant_backups')
      .set({ lanes, updated_at: now, ...(snapshotAt === undefined ? {} : { snapshot_at: snapshotAt }) })
      .where('backup_id', '=', this.#backupId)
      .execute();
  }

  async #undoneParts(transaction: RegistryExecutor): Promise<number> {
    const { undone } = await registrySql(transaction)
      .selectFrom('tenant_backup_parts')
      .select((eb) => eb.fn.countAll<number>().as('undone'))
      .where('backup_id', '=', this.#backupId)
      .where('state', '<>', 'done')
      .executeTakeFirstOrThrow();
    return undone;
  }
}

function replaced([first, second]: Lanes, lane: 0 | 1, worker: PresentWorker | null): Lanes {
  return lane === 0 ? [worker, second] : [first, worker];
}

const readRange = (range: JsonText<object> | null): PartRange | null =>
  range === null ? null : (parseJson(range) as PartRange);
