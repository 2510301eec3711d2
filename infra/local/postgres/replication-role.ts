import type { Client } from 'pg';

const NAME = 'local_rds_replication';

/**
 * Gives `rds_replication` its meaning on RDS, where members of that role may create slots and connect for replication.
 * PostgreSQL has only the attribute REPLICATION for that, so an event trigger keeps the attribute of every role equal
 * to its membership: a new member gets it, and any other role loses it.
 *
 * PostgreSQL fires no event trigger for the grant itself, but for later DDL of the same transaction: a right on the
 * tables, a publication. So the attribute is set before the grant is committed, in every database where this is
 * installed. The master user is left out: on RDS it also has the role and not the attribute.
 *
 * Idempotent.
 * @param superuser connected to the database
 */
export async function installReplicationRole(superuser: Client): Promise<void> {
  await superuser.query(`
    CREATE OR REPLACE FUNCTION pg_catalog.${NAME}() RETURNS event_trigger
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
    DECLARE changed record;
    BEGIN
      FOR changed IN
        SELECT r.oid, r.rolname, NOT r.rolreplication AS replicates
        FROM pg_roles r
        WHERE NOT r.rolsuper AND NOT pg_has_role(r.oid, 'rds_superuser', 'MEMBER')
          AND r.rolname <> 'rds_superuser'
          AND r.rolreplication <> EXISTS (
            SELECT FROM pg_auth_members m
            WHERE m.member = r.oid AND m.roleid = to_regrole('rds_replication'))
      LOOP
        -- Only one transaction at a time changes a role. Another one that sees the same difference skips it.
        IF pg_try_advisory_xact_lock(hashtextextended('${NAME} ' || changed.oid, 0)) THEN
          EXECUTE format('ALTER ROLE %I %s', changed.rolname,
            CASE WHEN changed.replicates THEN 'REPLICATION' ELSE 'NOREPLICATION' END);
        END IF;
      END LOOP;
    END $$`);
  const { rowCount } = await superuser.query('SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = $1', [
    NAME,
  ]);
  if (rowCount === 0) {
    await superuser.query(`
      CREATE EVENT TRIGGER ${NAME} ON ddl_command_end
        WHEN TAG IN ('GRANT', 'REVOKE', 'CREATE SCHEMA', 'CREATE PUBLICATION', 'ALTER PUBLICATION')
        EXECUTE FUNCTION pg_catalog.${NAME}()`);
  }
}
