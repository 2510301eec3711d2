/** The part of docs/benchmarks.md that `npm run bench:rollout` writes, around the table of one run. */
export function rolloutDocument(table: string, machine: string): string {
  return `## What a schema rollout costs

Measured on: ${machine}. The rollout, the loops and the server share these cores.

${table}

### What is compared

Times are medians over rounds of one run, in which the ways take turns. Every schema is a Business tenant's, created as
onboarding creates it; all are in one database over TLS.

- **rollout**: all phases of \`schema-rollout\` in one process (begin, canaries, waves, finish) with its work on the registry,
  without the Data API. Four connections, three round trips a schema.
- **plain loop**: for each tenant a connection; BEGIN, a read of its history, ALTER TABLE, INSERT of the history's row, COMMIT;
  then the connection is closed.
- **Kysely's Migrator**: for each tenant a connection, \`migrateToLatest\` in its schema, then the connection is closed. It
  searches the whole catalogue for its own tables, so it runs for some tenants only, and its time is scaled to all.
- **barest loop**: one connection; for each schema BEGIN, ALTER TABLE, INSERT of the history's row, COMMIT. It does not
  exclude moves, has no lock timeout, and ends with the first error.
- **nothing to do**: in the registry every target is up to date, so there are no connections.
`;
}
