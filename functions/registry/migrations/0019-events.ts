/**
 * Registry schema version 19: the outbox of events.
 *
 *   a row changes its state ──trigger, at COMMIT of the same transaction──▶ waiting ──taken by the bus──▶ published
 *                                                          waiting ──does not fit its schema──▶ refused
 *
 * - Triggers write the outbox, because many statements change these tables (workflows, recovery, hand-over to another
 *   region, reconciliation, an operator in `psql`) and none may forget it, also functions of older releases that still run.
 *   They are deferred to COMMIT: nothing else of the transaction is locked after a tenant's counter is, so that two
 *   transactions of one tenant cannot block each other. A later migration that changes the state of rows cannot alter the
 *   same table in the same transaction.
 * - `append_event` runs as the owner, and nobody else may insert into the outbox: an event cannot be forged.
 * - `event_sequences` counts the events of a tenant in this registry, without gaps. Its row is locked until COMMIT, so the
 *   order of numbers is the order of commits. The nil UUID counts those of the fleet.
 * - `facts` are those of the moment of the change. They hold no free text and no address: event-detail.ts publishes only
 *   what the event's schema names.
 * - The tenant's column is not called `tenant_id`: the erasure of a tenant deletes the rows that have one, and its last
 *   events still have to be published.
 * - `event_publisher` has one row, the lease of the run that publishes.
 * - Rows that are written with another time than that of their transaction, by the hand-over of a tenant to another
 *   region or by reconciliation, are copies of what has had its event already.
 *
 * No colons in the functions: the Data API takes a word behind one for a parameter.
 */
const outbox = `
CREATE TABLE event_outbox (
  event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  position bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  event_type text NOT NULL,
  tenant uuid,
  slug varchar(100),
  tier varchar(50),
  sequence bigint NOT NULL CHECK (sequence > 0),
  occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  facts jsonb NOT NULL CHECK (jsonb_typeof(facts) = 'object'),
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  reason text,
  published_at timestamptz,
  refused_at timestamptz,
  CHECK (published_at IS NULL OR refused_at IS NULL)
)`;

const sequences = `
CREATE TABLE event_sequences (
  tenant uuid PRIMARY KEY,
  last bigint NOT NULL CHECK (last > 0)
)`;

const publisher = `
CREATE TABLE event_publisher (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  lease uuid,
  lease_expires_at timestamptz,
  CHECK ((lease IS NULL) = (lease_expires_at IS NULL))
)`;

const asOwner = `SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp`;

const appendEvent = `
CREATE FUNCTION append_event(event_type text, of_tenant uuid, facts jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE ${asOwner} AS $function$
DECLARE
  number bigint;
BEGIN
  INSERT INTO public.event_sequences AS s (tenant, last)
  VALUES (coalesce(of_tenant, '00000000-0000-0000-0000-000000000000'), 1)
  ON CONFLICT (tenant) DO UPDATE SET last = s.last + 1
  RETURNING s.last INTO number;
  INSERT INTO public.event_outbox (event_type, tenant, slug, tier, sequence, facts)
  SELECT append_event.event_type, of_tenant, t.tenant_slug, t.subscription_tier, number, append_event.facts
    FROM (SELECT) AS one LEFT JOIN public.tenants t ON t.tenant_id = of_tenant;
END
$function$`;

/** The end of a run's name, such as `Succeeded` in `MoveSucceeded`. */
const endingOf = `CASE NEW.status WHEN 'running' THEN 'Started' ELSE initcap(NEW.status) END`;

/** A trigger function with the name of its table. */
const tells = (table: string, body: string) => `
CREATE FUNCTION tell_${table}() RETURNS trigger
LANGUAGE plpgsql VOLATILE ${asOwner} AS $function$
${body}
$function$`;

const tellTenants = tells(
  'tenants',
  `
DECLARE
  former text;
  event text;
  about jsonb = jsonb_build_object('isolationModel', NEW.isolation_model, 'cloneOf', NEW.clone_of);
BEGIN
  IF TG_OP = 'UPDATE' THEN former = OLD.status; END IF;
  IF former = NEW.status THEN
    -- Only the tier differs.
    IF NEW.status NOT IN ('arriving', 'elsewhere') THEN
      PERFORM public.append_event('TenantTierChanged', NEW.tenant_id,
        about || jsonb_build_object('previousTier', OLD.subscription_tier));
    END IF;
    RETURN NULL;
  END IF;
  event = CASE
    WHEN NEW.status IN ('arriving', 'elsewhere') THEN NULL
    WHEN former = 'offboarding' AND NEW.status <> 'offboarded' THEN 'TenantOffboardingCancelled'
    WHEN former IN ('arriving', 'elsewhere') AND NEW.status IN ('active', 'suspended', 'offboarding') THEN 'TenantArrived'
    WHEN NEW.status = 'provisioning' THEN 'TenantOnboardingStarted'
    WHEN NEW.status = 'failed' THEN 'TenantOnboardingFailed'
    WHEN NEW.status = 'offboarding' THEN 'TenantOffboardingStarted'
    WHEN NEW.status = 'offboarded' THEN 'TenantErased'
    WHEN NEW.status = 'suspended' THEN 'TenantSuspended'
    WHEN former = 'suspended' THEN 'TenantResumed'
    ELSE 'TenantActivated'
  END;
  IF event IS NOT NULL THEN PERFORM public.append_event(event, NEW.tenant_id, about); END IF;
  RETURN NULL;
END`,
);

/** Restores are in the table of moves. */
const tellMoves = tells(
  'tenant_moves',
  `
DECLARE
  about jsonb = jsonb_build_object('phase', NEW.phase, 'writePauseMs', NEW.report -> 'writePauseMs',
    'rows', NEW.report -> 'rows', 'bytes', NEW.report -> 'bytes');
BEGIN
  IF NEW.restore IS NULL THEN
    PERFORM public.append_event('Move' || ${endingOf}, NEW.tenant_id, about || jsonb_build_object(
      'moveId', NEW.move_id, 'targetTier', NEW.input -> 'targetTier', 'targetCell', NEW.input -> 'targetCell',
      'targetResidency', NEW.input -> 'targetResidency', 'targetSize', NEW.input -> 'targetSize'));
  ELSE
    PERFORM public.append_event('Restore' || ${endingOf}, NEW.tenant_id, about || jsonb_build_object(
      'restoreId', NEW.move_id, 'mode', NEW.restore -> 'mode', 'backupId', NEW.restore -> 'backupId',
      'pointInTimeAt', NEW.restore -> 'at'));
  END IF;
  RETURN NULL;
END`,
);

const tellHops = tells(
  'tenant_move_hops',
  `
DECLARE
  of_restore boolean = (SELECT m.restore IS NOT NULL FROM public.tenant_moves m WHERE m.move_id = NEW.move_id);
BEGIN
  PERFORM public.append_event(CASE WHEN of_restore THEN 'RestoreCommitted' ELSE 'MoveCommitted' END, NEW.tenant_id,
    jsonb_build_object(CASE WHEN of_restore THEN 'restoreId' ELSE 'moveId' END, NEW.move_id,
      'hop', NEW.hop_index, 'kind', NEW.kind, 'isolationModel', NEW.target -> 'isolationModel',
      'cellId', NEW.target -> 'cellId', 'targetRegion', NEW.target -> 'region'));
  RETURN NULL;
END`,
);

const tellBackups = tells(
  'tenant_backups',
  `
BEGIN
  -- What was never a backup does not expire.
  IF NEW.status = 'expired' AND OLD.status <> 'succeeded' THEN RETURN NULL; END IF;
  PERFORM public.append_event('Backup' || ${endingOf}, NEW.tenant_id, jsonb_build_object(
    'backupId', NEW.backup_id, 'snapshotAt', NEW.snapshot_at, 'expiresAt', NEW.expires_at,
    'rows', NEW.rows, 'bytes', NEW.bytes));
  RETURN NULL;
END`,
);

const tellExports = tells(
  'tenant_exports',
  `
BEGIN
  PERFORM public.append_event('Export' || ${endingOf}, NEW.tenant_id, jsonb_build_object(
    'exportId', NEW.export_id, 'backupId', NEW.backup_id, 'snapshotAt', NEW.snapshot_at,
    'expiresAt', NEW.expires_at, 'rows', NEW.rows, 'bytes', NEW.bytes));
  RETURN NULL;
END`,
);

const tellRollouts = tells(
  'schema_rollouts',
  `
BEGIN
  PERFORM public.append_event('Rollout' || ${endingOf}, NULL, jsonb_build_object(
    'rolloutId', NEW.rollout_id, 'tablesVersion', NEW.schema_version, 'tenancyVersion', NEW.tenancy_version));
  RETURN NULL;
END`,
);

const tellOffers = tells(
  'tenant_offers',
  `
BEGIN
  PERFORM public.append_event(CASE NEW.status WHEN 'open' THEN 'OfferMade' ELSE 'Offer' || initcap(NEW.status) END,
    NEW.tenant_id, jsonb_build_object('offerId', NEW.offer_id, 'targetTier', NEW.target_tier,
      'rules', (SELECT jsonb_agg(reason -> 'rule') FROM jsonb_array_elements(NEW.reasons) AS reason)));
  RETURN NULL;
END`,
);

const tellUsage = tells(
  'usage_samples',
  `
BEGIN
  PERFORM public.append_event('UsageRecorded', NEW.tenant_id, jsonb_build_object(
    'day', NEW.sampled_on, 'activeUsers', NEW.active_users, 'activeEmployees', NEW.active_employees,
    'users', NEW.user_count, 'assessments', NEW.assessment_count, 'rowOperations', NEW.row_operations,
    'storageBytes', NEW.storage_bytes, 'databaseSizeBytes', NEW.database_size_bytes));
  RETURN NULL;
END`,
);

const tellAlerts = tells(
  'alerts',
  `
BEGIN
  PERFORM public.append_event(CASE NEW.status WHEN 'open' THEN 'AlertOpened' ELSE 'Alert' || initcap(NEW.status) END,
    NEW.tenant_id, jsonb_build_object('alertId', NEW.alert_id, 'kind', NEW.kind, 'severity', NEW.severity,
      'cellId', NEW.cell_id));
  RETURN NULL;
END`,
);

type Trigger = readonly [table: string, event: 'INSERT' | 'UPDATE' | 'INSERT OR UPDATE', when: string];

const STATUS_CHANGED = 'OLD.status IS DISTINCT FROM NEW.status';
const TRIGGERS: readonly Trigger[] = [
  ['tenants', 'INSERT', `NEW.status = 'provisioning'`],
  ['tenants', 'UPDATE', `${STATUS_CHANGED} OR OLD.subscription_tier IS DISTINCT FROM NEW.subscription_tier`],
  ['tenant_moves', 'INSERT', `NEW.status = 'running'`],
  ['tenant_moves', 'UPDATE', STATUS_CHANGED],
  // A hop whose run died right after its commit is settled without having been recorded as committed.
  [
    'tenant_move_hops',
    'UPDATE',
    `NEW.state IN ('committed', 'settled') AND OLD.state NOT IN ('committed', 'settled', 'mismatch', 'cleaned')`,
  ],
  ['tenant_backups', 'INSERT', `NEW.status = 'running'`],
  ['tenant_backups', 'UPDATE', STATUS_CHANGED],
  ['tenant_exports', 'INSERT', `NEW.status = 'running'`],
  ['tenant_exports', 'UPDATE', STATUS_CHANGED],
  ['schema_rollouts', 'INSERT', `NEW.status = 'running'`],
  ['schema_rollouts', 'UPDATE', STATUS_CHANGED],
  ['tenant_offers', 'INSERT', `NEW.status = 'open' AND NEW.created_at = now()`],
  ['tenant_offers', 'UPDATE', STATUS_CHANGED],
  ['usage_samples', 'INSERT OR UPDATE', 'NEW.sampled_at = now()'],
];

const ALERT_TRIGGERS: readonly Trigger[] = [
  ['alerts', 'INSERT', `NEW.status = 'open'`],
  ['alerts', 'UPDATE', STATUS_CHANGED],
];

const trigger = ([table, event, when]: Trigger) => `
CREATE CONSTRAINT TRIGGER tell_${event.split(' ')[0]?.toLowerCase()} AFTER ${event} ON ${table}
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (${when}) EXECUTE FUNCTION tell_${table}()`;

export const eventTables: readonly string[] = [
  outbox,
  `CREATE UNIQUE INDEX idx_event_outbox_waiting ON event_outbox (position)
     WHERE published_at IS NULL AND refused_at IS NULL`,
  'CREATE INDEX idx_event_outbox_published ON event_outbox (published_at) WHERE published_at IS NOT NULL',
  sequences,
  publisher,
  'INSERT INTO event_publisher DEFAULT VALUES',
  appendEvent,
  'REVOKE ALL ON FUNCTION append_event(text, uuid, jsonb) FROM PUBLIC',
  ...[tellTenants, tellMoves, tellHops, tellBackups, tellExports, tellRollouts, tellOffers, tellUsage],
  ...TRIGGERS.map(trigger),
  // The table of alerts is another migration's, which a registry may lack.
  `DO $alerts$
   BEGIN
     IF to_regclass('public.alerts') IS NULL THEN RETURN; END IF;
     ${[tellAlerts, ...ALERT_TRIGGERS.map(trigger)].map((one) => `EXECUTE $statement$${one}$statement$;`).join('\n')}
   END
   $alerts$`,
];
