import { TENANT_LOGIN_GROUP } from '../ddl/ddl-connection.ts';

/**
 * The functions of schema `tenancy`: what they guarantee is in docs/architecture.md; this explains their form.
 *
 * - SECURITY DEFINER without a `SET search_path` clause: the clause would undo the search path that `enter` sets.
 *   Names and operators are qualified instead, because the caller's path may be anything. (OPERATOR(…) has the same
 *   precedence for every operator: parenthesize.)
 * - plpgsql, with as few statements as possible: assignments of simple expressions skip the executor, a PERFORM of
 *   several columns does not. The search path is set last, because changing it revalidates cached plans.
 * - VOLATILE under READ COMMITTED: each statement takes a new snapshot, so the placement that is read after the lock
 *   was granted is the one that the former holder of the lock has committed.
 *
 * How a transaction's tenant is stored. A setting can be overwritten by any expression that reaches the server
 * (`set_config('app.current_tenant', …)` in an injected sub-select), and the role of all Starter tenants may call
 * `enter` for each of them. So `enter` opens a cursor over the tenant's id, under a fixed name, and `current_tenant`
 * uses only the cursor. A cursor lives until the transaction ends. Opening, closing and replacing one take statements,
 * and the extended protocol carries one statement at a time. Opening it again fails (42P03), so a transaction enters
 * one tenant, once. Measured inside the server: `enter` takes 17 µs (a transaction around `SELECT 1`: 9 µs), 2 of them
 * for the cursor; `current_tenant` 0.7 µs, the same as reading a setting; a keyed hash over the setting takes 3.1 µs
 * and would not notice a second `enter`. An attacker who can send whole statements as a Starter role can begin own
 * transactions, and nothing inside the database can detect that: hence parameters everywhere, and no simple query with
 * a value from outside.
 */
const CURSOR = "'tenancy entered'";
/** The role whose members are all login roles of requests. */
const TENANT_LOGIN_GROUP_OID = `'${TENANT_LOGIN_GROUP}'::regrole`;
/**
 * Limit of one session's entries in the server's lock table. A role's CONNECTION LIMIT times this fits into the table
 * twice.
 */
const MAX_LOCKS = 400;

/** TN004 stands for "no tenant"; 34000 when the setting exists without the cursor, which is a forgery. */
export const currentTenant = `
CREATE OR REPLACE FUNCTION tenancy.current_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED AS $function$
DECLARE
  entered CONSTANT refcursor := ${CURSOR};
  tenant uuid;
BEGIN
  IF coalesce(pg_catalog.current_setting('app.current_tenant', true), '') OPERATOR(pg_catalog.=) '' THEN
    RAISE EXCEPTION 'no tenant was entered' USING ERRCODE = 'TN004';
  END IF;
  FETCH FIRST FROM entered INTO tenant;
  RETURN tenant;
END
$function$`;

/**
 * Whether the session's login role is the given role or stands in for it. While the password of a role is replaced, a
 * second login role is its member and inherits its rights (credentials/). Only the owner can make such a member.
 */
const actsAs = `
CREATE OR REPLACE FUNCTION tenancy.acts_as(role_name text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  RETURN session_user = role_name OR EXISTS (
    SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
    WHERE r.rolname = role_name AND m.member = session_user::regrole AND m.inherit_option
  );
END
$function$`;

/** Raises TN001 with the fence in DETAIL. Never returns. */
const raiseFenced = `
CREATE OR REPLACE FUNCTION tenancy.raise_fenced(token uuid, expires_at timestamp with time zone) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
  RAISE EXCEPTION 'the tenant is fenced' USING ERRCODE = 'TN001', DETAIL = pg_catalog.json_build_object(
    'fenceToken', token,
    'fenceExpiresAt', expires_at,
    'expired', expires_at OPERATOR(pg_catalog.<) pg_catalog.clock_timestamp()
  )::text;
END
$function$`;

/**
 * The wait of a writer that met an attempt's lock. A separate function, because the timeout of a function's SET clause
 * would cost every `enter`, and a `set_config` of it would outlive the wait.
 */
const awaitWriteLock = `
CREATE OR REPLACE FUNCTION tenancy.await_write_lock(tenant uuid) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $function$
BEGIN
  -- Who does not own the tenant does not stand in its queue. A former owner asks for its placement again.
  IF NOT EXISTS (
    SELECT FROM tenancy.placement p WHERE p.tenant_id OPERATOR(pg_catalog.=) tenant
      AND (tenancy.acts_as(p.role_name) OR tenancy.acts_as(p.previous_role_name))
  ) THEN
    RAISE EXCEPTION 'the placement has another epoch' USING ERRCODE = 'TN003';
  END IF;
  FOR round IN 1..4 LOOP
    BEGIN
      PERFORM pg_catalog.pg_advisory_xact_lock_shared(tenancy.lock_key(tenant));
      RETURN;
    EXCEPTION WHEN lock_not_available THEN
      -- The next round stands in the queue before a session that was ended can be back.
      EXIT WHEN tenancy.end_foreign_sessions(tenant) OPERATOR(pg_catalog.=) 0;
    END;
  END LOOP;
  PERFORM tenancy.raise_fenced(NULL, NULL);
END
$function$`;

/**
 * Ends the sessions of other tenants' roles that hold a lock of this tenant, or wait for one; returns how many. EXECUTE
 * on the advisory functions cannot be revoked on RDS, so a leaked credential can take any lock; our own code takes only
 * locks of tenants that its role owns. Only the owner role and its functions call it, because it is a member of
 * pg_signal_backend. The warning (TN005) goes to the server's log and to the waiting client, which raises an alarm.
 */
const endForeignSessions = `
CREATE OR REPLACE FUNCTION tenancy.end_foreign_sessions(tenant uuid) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
  intruder record;
  ended integer := 0;
BEGIN
  FOR intruder IN
    SELECT DISTINCT a.pid, a.usename FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid
    JOIN pg_auth_members m ON m.member = a.usesysid AND m.inherit_option
    WHERE l.locktype = 'advisory' AND l.objsubid = 1
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND ((l.classid::bigint << 32) | l.objid::bigint) IN
          (tenancy.lock_key(tenant), tenancy.mover_key(tenant), uuid_hash_extended(tenant, 2))
      AND m.roleid = ${TENANT_LOGIN_GROUP_OID}
      AND a.usename <> current_user
      AND NOT EXISTS (SELECT FROM tenancy.placement p
                      WHERE p.tenant_id = tenant AND (a.usename IN (p.role_name, p.previous_role_name)
                        OR EXISTS (SELECT FROM pg_auth_members s JOIN pg_roles r ON r.oid = s.roleid
                                   WHERE r.rolname IN (p.role_name, p.previous_role_name)
                                     AND s.member = a.usesysid AND s.inherit_option)))
  LOOP
    -- Without waiting for its end: that would let it come back first.
    IF pg_terminate_backend(intruder.pid) THEN
      ended := ended + 1;
      RAISE WARNING 'a session of role % held a lock of tenant % and was ended', intruder.usename, tenant
        USING ERRCODE = 'TN005';
    END IF;
  END LOOP;
  RETURN ended;
END
$function$`;

/**
 * For a request that met a full lock table (53200): ends the request sessions that hold hundreds of locks, including
 * sessions of the calling role. Our own requests hold a few dozen at most. Returns how many. Looking up a catalogue
 * that all databases share takes entries in that same table, even for a moment, so this uses functions instead of
 * views. The few entries that it needs become free when any other transaction ends.
 */
const relieveLockTable = `
CREATE OR REPLACE FUNCTION tenancy.relieve_lock_table() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
  hoarder record;
  ended integer := 0;
BEGIN
  FOR hoarder IN
    SELECT l.pid, a.usesysid, l.locks
    FROM (SELECT s.pid, count(*) AS locks FROM pg_lock_status() s WHERE NOT s.fastpath AND s.pid IS NOT NULL
          GROUP BY s.pid HAVING count(*) > ${MAX_LOCKS}) l
    JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
    WHERE a.usesysid IS NOT NULL
  LOOP
    CONTINUE WHEN hoarder.usesysid = current_user::regrole
      OR NOT pg_has_role(hoarder.usesysid, ${TENANT_LOGIN_GROUP_OID}, 'USAGE');
    BEGIN
      IF pg_terminate_backend(hoarder.pid, 1000) THEN
        ended := ended + 1;
        RAISE WARNING 'a session of role % held % locks and was ended',
          pg_get_userbyid(hoarder.usesysid), hoarder.locks USING ERRCODE = 'TN005';
      END IF;
    EXCEPTION WHEN insufficient_privilege THEN
      -- A superuser has every role, and only a superuser may end its sessions.
    END;
  END LOOP;
  RETURN ended;
END
$function$`;

const enterFunction = `
CREATE OR REPLACE FUNCTION tenancy.enter(tenant uuid, epoch bigint, access text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
  place record;
  entered CONSTANT refcursor := ${CURSOR};
  ignored text;
BEGIN
  IF access OPERATOR(pg_catalog.=) 'write' THEN
    IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' THEN
      RAISE EXCEPTION 'a write enters in READ COMMITTED' USING ERRCODE = '25000';
    END IF;
    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.uuid_hash_extended(tenant, 0)) THEN
      PERFORM tenancy.await_write_lock(tenant);
    END IF;
  ELSIF access OPERATOR(pg_catalog.=) 'read' THEN
    IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'repeatable read' THEN
      RAISE EXCEPTION 'a read enters in REPEATABLE READ' USING ERRCODE = '25000';
    END IF;
    -- Cannot be taken back: PostgreSQL refuses READ WRITE after the first query.
    ignored := pg_catalog.set_config('transaction_read_only', 'on', true);
  ELSE
    RAISE EXCEPTION 'access is read or write' USING ERRCODE = '22023';
  END IF;

  SELECT p.epoch, p.state, p.capture, p.schema_name, p.role_name,
         p.fence_token, p.fence_expires_at, p.forward, p.previous_role_name
    INTO place FROM tenancy.placement p WHERE p.tenant_id OPERATOR(pg_catalog.=) enter.tenant;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the tenant is not known here' USING ERRCODE = 'TN004';
  END IF;
  IF epoch IS NULL OR place.epoch OPERATOR(pg_catalog.<>) epoch THEN
    IF place.forward IS NOT NULL AND (place.epoch OPERATOR(pg_catalog.-) 1) OPERATOR(pg_catalog.=) epoch
       AND tenancy.acts_as(place.previous_role_name) THEN
      RAISE EXCEPTION 'the tenant has moved' USING ERRCODE = 'TN002', DETAIL = place.forward::text;
    END IF;
    RAISE EXCEPTION 'the placement has another epoch' USING ERRCODE = 'TN003';
  END IF;
  IF place.role_name OPERATOR(pg_catalog.<>) session_user::text AND NOT tenancy.acts_as(place.role_name) THEN
    RAISE EXCEPTION 'the role does not own the tenant' USING ERRCODE = 'TN004';
  END IF;
  IF place.state OPERATOR(pg_catalog.<>) 'active' THEN
    IF place.state OPERATOR(pg_catalog.=) 'moved' THEN
      RAISE EXCEPTION 'the tenant has moved' USING ERRCODE = 'TN002', DETAIL = place.forward::text;
    END IF;
    -- Readers go on behind a fence.
    IF access OPERATOR(pg_catalog.=) 'write' THEN
      PERFORM tenancy.raise_fenced(place.fence_token, place.fence_expires_at);
    END IF;
  END IF;

  OPEN entered SCROLL FOR SELECT tenant;
  ignored := pg_catalog.set_config('app.current_tenant', tenant::text, true);
  ignored := pg_catalog.set_config('app.capture', CASE WHEN place.capture THEN 'on' ELSE 'off' END, true);
  -- pg_temp goes last explicitly: unnamed, it would be searched first.
  ignored := pg_catalog.set_config('search_path', place.schema_name OPERATOR(pg_catalog.||) ', pg_temp', true);
END
$function$`;

/**
 * For moves and clean-ups, which see one tenant's rows through the policies, like requests. It takes no lock, because
 * they hold what they need. `token` is the token of the fence that the caller knows, or NULL; a fence of another
 * attempt is TN001. Callers name source and target by schema, and their writes are not captured.
 */
const enterMoveFunction = `
CREATE OR REPLACE FUNCTION tenancy.enter_move(tenant uuid, token uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $function$
DECLARE
  place record;
  entered CONSTANT refcursor := ${CURSOR};
  ignored text;
BEGIN
  SELECT p.fence_token, p.fence_expires_at INTO place
    FROM tenancy.placement p WHERE p.tenant_id OPERATOR(pg_catalog.=) enter_move.tenant;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the tenant is not known here' USING ERRCODE = 'TN004';
  END IF;
  IF NOT coalesce(place.fence_token OPERATOR(pg_catalog.=) token, place.fence_token IS NULL AND token IS NULL) THEN
    PERFORM tenancy.raise_fenced(place.fence_token, place.fence_expires_at);
  END IF;
  OPEN entered SCROLL FOR SELECT tenant;
  ignored := pg_catalog.set_config('app.current_tenant', tenant::text, true);
  ignored := pg_catalog.set_config('app.capture', 'off', true);
  ignored := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
END
$function$`;

/**
 * Removes an expired fence whose attempt is dead; returns whether it did. Call it in a transaction of its own, in READ
 * COMMITTED. It takes the exclusive lock, so that it cannot interleave with a commit, and uses the database's clock,
 * which the attempt uses too.
 */
const clearFenceFunction = `
CREATE OR REPLACE FUNCTION tenancy.clear_fence(tenant uuid, token uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '500ms' AS $function$
BEGIN
  -- The caller is checked before it gets the lock, and again under it.
  IF NOT EXISTS (
    SELECT FROM tenancy.placement p WHERE p.tenant_id OPERATOR(pg_catalog.=) tenant
      AND p.fence_token OPERATOR(pg_catalog.=) token
      AND p.fence_expires_at OPERATOR(pg_catalog.<) pg_catalog.clock_timestamp()
      AND (session_user OPERATOR(pg_catalog.=) current_user OR tenancy.acts_as(p.role_name))
  ) THEN
    RETURN false;
  END IF;
  PERFORM pg_catalog.pg_advisory_xact_lock(tenancy.lock_key(tenant));
  UPDATE tenancy.placement p
    SET state = 'active', fence_token = NULL, fence_expires_at = NULL
    WHERE p.tenant_id OPERATOR(pg_catalog.=) tenant
      AND p.state OPERATOR(pg_catalog.=) 'fenced'
      AND p.fence_token OPERATOR(pg_catalog.=) token
      AND p.fence_expires_at OPERATOR(pg_catalog.<) pg_catalog.clock_timestamp()
      AND (session_user OPERATOR(pg_catalog.=) current_user OR tenancy.acts_as(p.role_name));
  RETURN FOUND;
END
$function$`;

/**
 * Counts a request that was repeated because of a move, after it has succeeded, for the reports of moves. Only for the
 * current placement, and only by the role that owns it.
 */
const noteRetryFunction = `
CREATE OR REPLACE FUNCTION tenancy.note_retry(tenant uuid, epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
BEGIN
  INSERT INTO tenancy.retried_requests AS r (tenant_id, epoch, requests)
    SELECT p.tenant_id, p.epoch, 1 FROM tenancy.placement p
    WHERE p.tenant_id = note_retry.tenant AND p.epoch = note_retry.epoch AND tenancy.acts_as(p.role_name)
  ON CONFLICT ON CONSTRAINT retried_requests_pkey DO UPDATE SET requests = r.requests + 1;
END
$function$`;

/**
 * Records the keys of a row that a request writes while a move copies: the old and the new one, because a key can
 * change. The tenant is the entered one, not a column of the row, because an isolated table has no such column.
 */
const captureChangeFunction = `
CREATE OR REPLACE FUNCTION tenancy.capture_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
  versions jsonb[] := CASE TG_OP WHEN 'INSERT' THEN ARRAY[to_jsonb(NEW)] WHEN 'DELETE' THEN ARRAY[to_jsonb(OLD)]
                      ELSE ARRAY[to_jsonb(OLD), to_jsonb(NEW)] END;
BEGIN
  -- SQL that runs as a login role can forge what current_tenant() reads, so the role decides here.
  IF NOT EXISTS (SELECT FROM tenancy.placement p
                 WHERE p.tenant_id = tenancy.current_tenant()
                   AND (p.role_name = session_user OR tenancy.acts_as(p.role_name))) THEN
    RAISE EXCEPTION 'the role does not own the tenant' USING ERRCODE = 'TN004';
  END IF;
  INSERT INTO tenancy.captured_changes (tenant_id, table_name, row_key)
    SELECT DISTINCT tenancy.current_tenant(), TG_ARGV[0],
           (SELECT jsonb_object_agg(k, version -> k) FROM unnest(TG_ARGV[1:]) k)
    FROM unnest(versions) version;
  RETURN NULL;
END
$function$`;

/** The key of the tenant's writers' lock in the single-bigint space of advisory locks; attempts take it exclusively. */
const lockKey = `
CREATE OR REPLACE FUNCTION tenancy.lock_key(tenant uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.uuid_hash_extended(tenant, 0)`;

/**
 * The key of the tenant's attempts' lock: an attempt's transactions hold it shared; claiming and revoking take it
 * exclusively.
 */
const moverKey = `
CREATE OR REPLACE FUNCTION tenancy.mover_key(tenant uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.uuid_hash_extended(tenant, 1)`;

/** In the order of their creation. */
export const tenancyFunctions: readonly string[] = [
  lockKey,
  moverKey,
  currentTenant,
  actsAs,
  raiseFenced,
  endForeignSessions,
  awaitWriteLock,
  relieveLockTable,
  enterFunction,
  enterMoveFunction,
  clearFenceFunction,
  noteRetryFunction,
  captureChangeFunction,
];
