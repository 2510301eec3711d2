/**
 * The last phases of an offboarding: the tenant's rows in the registry, and the certificate. Both need the registry; the
 * second also signs. They run after everything else is erased and verified.
 */
import { sql } from 'kysely';
import { publicKeyOf, signDigest } from '../aws/signing-key.ts';
import { clusterRetentionDays, TIERS } from '../contracts/backup-policy.ts';
import {
  CERTIFICATE_FORMAT,
  CERTIFICATE_VERSION,
  certificateDigest,
  type ErasedStore,
  type ErasureCertificate,
  fingerprintOf,
  type KeptStore,
  type SignedCertificate,
} from '../contracts/erasure-certificate.ts';
import { PUBLISHED_EVENT_DAYS } from '../contracts/events.ts';
import {
  FORMER_ACCOUNT_DAYS,
  type Retention,
  WORKFLOW_HISTORY_DAYS,
} from '../contracts/offboarding-policy.ts';
import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import { columnValue, rfc3339 } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { ErasureIncomplete, OffboardingOvertaken } from './errors.ts';
import {
  changeOffboarding,
  endOffboarding,
  type Fact,
  findOffboarding,
  mergeFact,
  type OffboardingRecord,
  runningOffboarding,
} from './offboarding-records.ts';

type Registry = Pick<DataApi, 'query' | 'transaction'>;

const DAY = 86_400_000;
/** A key of the cache expires after so many milliseconds at the latest: the mark of a write whose function ended. */
const CACHE_MS = 75_000;
export const REGISTRY_STORE = 'registry';

/**
 * Erases the tenant's rows in the registry: the row of the tenant itself stays, with its id and its slug. What the
 * certificate says of the final export, and of the figures that stay, is kept first.
 * @throws {ErasureIncomplete}
 */
export async function eraseRegistry(registry: Registry, offboardingId: string): Promise<void> {
  const record = await runningOffboarding(registry, offboardingId);
  const { tenantId, phase } = record;
  // A repeated call, after the answer of the first was lost.
  if (phase === 'certify') return;
  const finalExport = await exportFacts(registry, record);
  await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const erase = async () => {
      const { rows } = await sql<{ counts: string }>`
        select erase_tenant(${columnValue('tenants.tenant_id', tenantId)}) as counts`.execute(
        registrySql(transaction),
      );
      const counts = Object.entries(JSON.parse(rows[0]!.counts) as Record<string, number>);
      return Object.fromEntries(
        counts.filter(([, count]) => count > 0).map(([table, count]) => [`rows of ${table}`, count]),
      );
    };
    const foundAt = new Date().toISOString();
    const found = await erase();
    const left = await erase();
    if (Object.keys(left).length > 0) throw new ErasureIncomplete(REGISTRY_STORE, left);
    await mergeFact(transaction, offboardingId, REGISTRY_STORE, {
      found,
      foundAt,
      verifiedAt: new Date().toISOString(),
      ...finalExport,
    } as Partial<Fact>);
    await changeOffboarding(transaction, offboardingId, { phase: 'certify' });
  });
}

/** What the registry has of the final export, before its row goes. */
async function exportFacts(
  registry: Registry,
  { exportId }: OffboardingRecord,
): Promise<{ readonly finalExport: ErasureCertificate['finalExport'] }> {
  if (exportId === null) return { finalExport: null };
  const row = await registrySql(registry)
    .selectFrom('tenant_exports as e')
    .select(['e.rows', 'e.bytes', 'e.sha256'])
    .select((eb) => rfc3339(eb.ref('e.snapshot_at'), 'MS').as('snapshot_at'))
    .where('e.export_id', '=', exportId)
    .executeTakeFirst();
  const { rows = null, bytes = null, sha256 = null, snapshot_at: snapshotAt = null } = row ?? {};
  return { finalExport: { exportId, rows, bytes, sha256, snapshotAt } };
}

export interface CertifyOptions {
  readonly keyArn: string;
  readonly retention: Retention;
  readonly actor: AuditActor;
}

/**
 * Issues the certificate and ends the offboarding. The part of an offboarding that runs in another region only ends.
 * @throws {ErasureIncomplete} a store is not verified. And the errors of KMS.
 */
export async function certify(
  registry: Registry,
  offboardingId: string,
  { keyArn, retention, actor }: CertifyOptions,
): Promise<void> {
  const record = await findOffboarding(registry, offboardingId);
  if (!record) throw new OffboardingOvertaken();
  if (record.status === 'succeeded') return;
  const certificate = certificateOf(record, { now: new Date(), ...retention });
  const signed: SignedCertificate | undefined =
    record.partOf === null ? await sign(certificate, keyArn) : undefined;
  await registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const end = { status: 'succeeded', ...(signed ? { certificate: JSON.stringify(signed) } : {}) } as const;
    await endOffboarding(transaction, record, end, actor);
  });
}

async function sign(certificate: ErasureCertificate, keyArn: string): Promise<SignedCertificate> {
  const [signature, publicKey] = await Promise.all([
    signDigest(keyArn, certificateDigest(certificate)),
    publicKeyOf(keyArn),
  ]);
  return { certificate, signature, publicKey, publicKeySha256: fingerprintOf(publicKey) };
}

/** @throws {ErasureIncomplete} a store was found and not verified. */
export function certificateOf(
  record: OffboardingRecord,
  { now, ...retention }: Retention & { readonly now: Date },
): ErasureCertificate {
  const { facts, region, tenantId } = record;
  // The registry does not keep their order.
  const stores = Object.entries(facts).sort(([one], [other]) => (one < other ? -1 : 1));
  const { finalExport = null } = (facts[REGISTRY_STORE] ?? {}) as {
    finalExport?: ErasureCertificate['finalExport'];
  };
  return {
    format: CERTIFICATE_FORMAT,
    version: CERTIFICATE_VERSION,
    certificateId: record.offboardingId,
    tenantId,
    slug: record.slug,
    region,
    cause: record.cause,
    requestedAt: toMilliseconds(record.startedAt),
    graceUntil: record.graceUntil === null ? null : toMilliseconds(record.graceUntil),
    erasureBegunAt: toMilliseconds(record.erasingSince ?? record.startedAt),
    issuedAt: now.toISOString(),
    finalExport,
    erased: stores.map(([store, fact]) => erasedStore(store, fact, region)),
    kept: [
      ...stores.flatMap(([store, { kept = [] }]) =>
        kept.map(
          (one): KeptStore => ({
            ...named(store, region),
            what: one.what,
            count: one.count ?? null,
            until: one.until,
            why: one.why,
          }),
        ),
      ),
      ...keptByPolicy(record, { now, ...retention }),
    ],
  };
}

/** Stores of other regions are kept as `<region> / <store>`. */
function named(store: string, region: string): { readonly store: string; readonly region: string } {
  const [other, name] = store.split(' / ');
  return name === undefined ? { store, region } : { store: name, region: other! };
}

function erasedStore(store: string, { found, foundAt, verifiedAt }: Fact, region: string): ErasedStore {
  if (verifiedAt === undefined) throw new ErasureIncomplete(store, found);
  return {
    ...named(store, region),
    removed: Object.entries(found).map(([what, count]) => ({ what, count })),
    foundAt,
    verifiedAt,
    verifiedBy: 'A search by the tenant’s id after the erasure found nothing more than is listed in `kept`.',
  };
}

const toMilliseconds = (time: string): string => new Date(time).toISOString();

/** What nobody can delete for one tenant, with the day on which its retention is over. */
function keptByPolicy(
  { facts, region, erasingSince }: OffboardingRecord,
  { now, logRetentionDays, eventArchiveDays, vaultDays }: Retention & { readonly now: Date },
): KeptStore[] {
  const after = (days: number) => new Date(now.getTime() + days * DAY).toISOString();
  const begun = erasingSince === null ? now.getTime() : Date.parse(erasingSince);
  const afterErasure = (ms: number) => new Date(begun + ms).toISOString();
  const clusters = Object.entries(facts)
    .filter(([store, { found }]) => /(^| \/ )database /.test(store) && Object.keys(found).length > 0)
    .map(([store]) => named(store, region));
  const databases = clusters.filter(({ store }) => store !== 'database dedicated');
  const regions = [...new Set([region, ...Object.keys(facts).map((store) => named(store, region).region)])];
  const cellDays = clusterRetentionDays(['starter', 'business']);
  return [
    ...databases.map(
      ({ store, region: where }): KeptStore => ({
        store,
        region: where,
        what: 'continuous backups of the cluster: rows as they were before the erasure, encrypted',
        count: null,
        until: after(cellDays),
        why: `A cluster’s backups cannot be changed for one tenant; they age out after ${cellDays} days. A copy of the cluster that is made of them for a restore is deleted after the restore.`,
      }),
    ),
    ...(vaultDays === undefined ? [] : clusters).map(
      ({ store, region: where }): KeptStore => ({
        store,
        region: where,
        what: 'snapshots of the cluster in the vault of AWS Backup, and its copy in another region, encrypted',
        count: null,
        until: after(vaultDays as number),
        why: `They are snapshots of whole clusters and may be locked; they age out after ${vaultDays} days.`,
      }),
    ),
    ...(eventArchiveDays === undefined ? [] : regions).map(
      (where): KeptStore => ({
        store: 'event archive',
        region: where,
        what: 'events of the tenant: ids, slug, figures',
        count: null,
        until: after(eventArchiveDays as number),
        why: `EventBridge deletes them after ${eventArchiveDays} days. They have no personal data.`,
      }),
    ),
    ...regions.flatMap((where): KeptStore[] => [
      {
        store: 'registry',
        region: where,
        what: 'continuous backups of the registry’s cluster, encrypted',
        count: null,
        until: after(clusterRetentionDays(TIERS)),
        why: `They age out after ${clusterRetentionDays(TIERS)} days.`,
      },
      {
        store: 'registry',
        region: where,
        what: 'events of the tenant in the outbox (event_outbox): ids, slug, figures',
        count: null,
        until: after(PUBLISHED_EVENT_DAYS),
        why: `Subscribers must get the last ones too. An event is deleted ${PUBLISHED_EVENT_DAYS} days after it was published, or refused because it does not fit its schema. They have no personal data.`,
      },
      {
        store: 'registry',
        region: where,
        what: 'the number of the tenant’s last event (event_sequences)',
        count: null,
        until: null,
        why: 'The numbers of its events must have no gap and no repetition.',
      },
      {
        store: 'logs',
        region: where,
        what: 'lines of functions, databases, APIs and buckets that name the tenant’s id or slug',
        count: null,
        until: after(logRetentionDays),
        why: `Logs are deleted after ${logRetentionDays} days. They have no personal data of the tenant.`,
      },
      {
        store: 'workflows',
        region: where,
        what: 'histories of executions, and events of deleted stacks, that name the tenant’s id',
        count: null,
        until: after(WORKFLOW_HISTORY_DAYS),
        why: 'AWS keeps them for 90 days. They have no personal data of the tenant.',
      },
      {
        store: 'cache',
        region: where,
        what: 'keys of the tenant in the cells’ caches and in functions’ memory',
        count: null,
        until: afterErasure(CACHE_MS),
        why: 'They expire by themselves: values after 30 seconds, marks of writes after 75. No request reads them any more.',
      },
      {
        store: 'user pool',
        region: where,
        what: 'accounts of people who were removed from the tenant before the erasure and are in no other tenant, if any, and the requests to delete them: an address',
        count: null,
        until: afterErasure((FORMER_ACCOUNT_DAYS + 1) * DAY),
        why: `Nothing connects them with the tenant. Each is deleted ${FORMER_ACCOUNT_DAYS} days after the removal.`,
      },
      {
        store: 'uploads',
        region: where,
        what: 'parts of unfinished uploads of backups and exports, if any',
        count: null,
        until: after(2),
        why: 'The bucket deletes them after two days.',
      },
    ]),
    {
      store: 'registry',
      region,
      what: 'one row of tenants: id, slug, tier, region, status',
      count: null,
      until: null,
      why: 'The slug stays reserved, so that no other customer gets the address of this one. It has no personal data.',
    },
    {
      store: 'registry',
      region,
      what: 'figures of usage by hour and day (counts, bytes, durations, revenue)',
      count: null,
      until: null,
      why: 'For billing and accounting. They have no personal data.',
    },
    {
      store: 'registry',
      region,
      what: 'the operators’ audit log: who did what with the tenant, by ids',
      count: null,
      until: null,
      why: 'It is append-only evidence. It has no addresses of the tenant’s users.',
    },
    {
      store: 'registry',
      region,
      what: 'the record of this offboarding, with this certificate',
      count: null,
      until: null,
      why: 'It is the evidence of the erasure.',
    },
  ];
}
