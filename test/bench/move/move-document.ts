/** The part of docs/benchmarks.md that `npm run bench:move` writes, around the table of one run. */
export function moveDocument(table: string, machine: string): string {
  return `## What a move costs

Measured on: ${machine}. Clients, movers and servers share these cores.

${table}

### What is compared

Whatever is compared takes turns in one run. Times are medians of three, pauses the longest of all. Servers are as safe
as production's (\`fsync\`, \`synchronous_commit\` and \`full_page_writes\` are on) and configured alike
(\`wal_level = logical\`, \`shared_buffers = 1GB\`, \`maintenance_work_mem = 256MB\`, no checkpoint by itself, log files
kept for reuse); each run begins behind a VACUUM of what it reads and a CHECKPOINT. Loads are paced by the clock: a request is timed from the moment
at which it was due, so that a pause cannot hide.

- **relocate**: a tenant's schema goes to another server by the steps of \`functions/move\`, while it is written to
  through the router of production. *Committed* is from the beginning of \`prepare\` to the end of \`cut-over\`, *compared*
  to the end of \`compare\`. It takes 200 writes a second, employees changed and entries of the audit log by turns. The next
  round takes it back, to a server that its rows have been dropped from: so every round reads rows that were vacuumed
  and fills an empty schema, as the dumps do.
- **pg_dump | pg_restore**: the same rows between two PostgreSQL 15 servers of Debian, because Debian's tools are of that
  version and refuse a server of 17; ours run on 17. Nobody writes meanwhile: what was written would be lost, so the pause
  is all of it. Nothing is compared afterwards. Left out where \`apt-get install postgresql-15\` was not done.
- **reshape**: a Starter tenant gets a schema of its own in the same database, at 50 writes a second, beside 200 other
  Starter tenants of 20 employees each, who read and write 150 times a second. Their *p99 without a move* is that of the
  five seconds before each move, with the same writes of the tenant that will move.
- **one transaction**: the strategy's own SQL with the same rows: \`INSERT … SELECT\` of all tables, the \`UPDATE\` of the
  placement and \`DELETE\`, into a schema that is ready. Nobody writes meanwhile; its pause is its duration.
- **a write while nothing moves**: BEGIN, \`tenancy.enter(…, 'write')\`, an UPDATE by key and COMMIT in one round trip,
  against the same without \`enter\`, each on a plain connection. *Through our sessions* adds what request code uses: pool,
  query builder, and the care for unknown commits. *Without waiting for the disk* is \`fsync = off\`: what is left is processor time.

### How to read it

- The pause is the time from the moment at which writers may have to wait to the commit of the new placement, of every
  try, also of those that were given up. *Slowest write around the cut-over* is what a client saw within a second of it:
  the pause, the wait until its next try, and the first connection to the new place.
- A dump shares the machine with nobody, a relocation with its writers and their router, which take about a third of
  both cores here. Most of its time is the first copy by two workers of PostgreSQL, then the indexes; the tenant works on
  during both. Copies are encrypted, dumps go through a pipe.
- Other tenants' p99 is that of commits which wait for the disk, behind the log that a move writes there, and of clients
  and servers that wait for a core: a mover keeps one of the two busy.
- A reshape takes longer than one transaction, because it copies, compares and applies what has changed meanwhile in
  steps; what it does behind its fence does not depend on how many rows there are.
`;
}
