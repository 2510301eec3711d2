/** The part of docs/benchmarks.md that `npm run bench:rollout` writes, around the table of one run. */
export function rolloutDocument(table: string, machine: string): string {
  return `## What a schema rollout costs

Measured on: ${machine}. The rollout, the loops and the server share these cores.

${table}

### What is compared

Times are medians over rounds of one run, in which the ways take turns. Every schema is a Business tenant's, made as
onboarding makes it; all are in one database over TLS.

- **rollout**: all phases of \`schema-rollout\` in one process (begin, canaries, waves, finish) with its work on the registry,
  which is reached without the Data API here. Four connections, three round trips a schema.
- **plain loop**: for each tenant a connection; BEGIN, a look at its history, ALTER TABLE, INSERT of the history's row, COMMIT;
  and the connection closed again.
- **Kysely's Migrator**: for each tenant a connection, \`migrateToLatest\` in its schema, and the connection closed again. It
  looks for its own tables through the whole catalogue, so it is run for some tenants and its time scaled to all.
- **barest loop**: one connection; for each schema BEGIN, ALTER TABLE, INSERT of the history's row, COMMIT. It keeps nobody
  from moving the tenant, has no lock timeout, and ends with the first error.
- **nothing to do**: the registry knows that every target is up to date, so none is connected to.
`;
}
