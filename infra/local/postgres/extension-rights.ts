import type { Client } from 'pg';

const NAME = 'local_rds_extensions';

/** Extensions that RDS lets members of `rds_superuser` create and PostgreSQL only superusers. */
const SUPPORTED = ['pg_stat_statements'];

/**
 * On RDS, a member of `rds_superuser` creates extensions that PostgreSQL reserves for superusers; they belong to RDS then.
 * Here an event trigger does it: it creates the extension, as the platform's superuser and in the schema that the statement
 * names, before PostgreSQL checks the statement itself, which then needs `IF NOT EXISTS`. Another role is refused as ever.
 *
 * Idempotent.
 * @param superuser connected to the database
 */
export async function installExtensionRights(superuser: Client): Promise<void> {
  await superuser.query(`
    CREATE OR REPLACE FUNCTION pg_catalog.${NAME}() RETURNS event_trigger
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
    DECLARE
      statement text[] := regexp_match(current_query(),
        'create\\s+extension\\s+if\\s+not\\s+exists\\s+"?(\\w+)"?(?:\\s+with)?(?:\\s+schema\\s+"?(\\w+)"?)?', 'i');
    BEGIN
      IF statement[1] = ANY ('{${SUPPORTED.join(',')}}')
        AND pg_has_role(session_user, 'rds_superuser', 'MEMBER')
        AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = statement[1])
        AND coalesce(current_setting('${NAME}.running', true), '') <> 'on'
      THEN
        -- This CREATE EXTENSION fires the trigger again.
        PERFORM set_config('${NAME}.running', 'on', true);
        EXECUTE format('CREATE EXTENSION %I SCHEMA %I', statement[1], coalesce(statement[2], 'public'));
        PERFORM set_config('${NAME}.running', 'off', true);
      END IF;
    END $$`);
  const { rowCount } = await superuser.query('SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = $1', [
    NAME,
  ]);
  if (rowCount === 0) {
    await superuser.query(`
      CREATE EVENT TRIGGER ${NAME} ON ddl_command_start
        WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION pg_catalog.${NAME}()`);
  }
}
