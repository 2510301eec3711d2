/** The part of docs/benchmarks.md that `npm run bench:move` writes, around the table of one run. */
export function moveDocument(table: string, machine: string): string {
  return `## What a move costs

Measured on: ${machine}. Clients, moves and servers share these cores.

${table}

### What is compared

The compared ways take turns in one run. Times are medians of three, pauses the longest of all. Servers are as durable as
in production (\`fsync\`, \`synchronous_commit\` and \`full_page_writes\` are on) and have the same configuration
(\`wal_level = logical\`, \`shared_buffers = 1GB\`, \`maintenance_work_mem = 256MB\`, no automatic checkpoint, log files
kept for reuse); each run begins after a VACUUM of the tables that it reads and a CHECKPOINT. Loads are paced by the clock: a request is timed from its due
time, so that every pause is counted.

- **relocate**: a tenant's schema moves to another server with the phases of \`functions/moves\`, while it is written to
  through the production router. *Committed* is from the beginning of \`prepare\` to the end of \`cut-over\`, *compared*
  to the end of \`compare\`. It gets 200 writes a second, alternately changes of employees and entries of the audit log. The next
  round moves it back to a server from which its rows have been dropped, so every round reads vacuumed rows and fills an
  empty schema, as the dumps do.
- **pg_dump | pg_restore**: the same rows between two PostgreSQL 15 servers of Debian, because Debian's tools have that
  version and refuse a server of 17; ours run on 17. There are no writes meanwhile, because they would be lost, so the pause
  is the whole duration. Nothing is compared afterwards. Left out unless \`apt-get install postgresql-15\` was done.
- **reshape**: a Starter tenant gets a schema of its own in the same database, at 50 writes a second, beside 200 other
  Starter tenants of 20 employees each, which read and write 150 times a second. Their *p99 without a move* is that of the
  five seconds before each move, with the same writes of the tenant that will move.
- **one transaction**: the strategy's own SQL with the same rows: \`INSERT … SELECT\` of all tables, the \`UPDATE\` of the
  placement and \`DELETE\`, into an existing schema. There are no writes meanwhile; its pause is its duration.
- **a write while nothing moves**: BEGIN, \`tenancy.enter(…, 'write')\`, an UPDATE by key and COMMIT in one round trip,
  against the same without \`enter\`, each on a plain connection. *Through our sessions* adds what request code uses: pool,
  query builder, and the handling of unknown commits. *Without waiting for the disk* is \`fsync = off\`: only processor time remains.

### How to read it

- The pause is the time from the moment when writers may have to wait to the commit of the new placement, of every try,
  including failed ones. *Slowest write around the cut-over* is the slowest one of a client within a second of it: the pause,
  the wait until its next try, and the first connection to the new place.
- A dump has the machine for itself; a relocate shares it with its writers and their router, which use about a third of
  both cores here. Most of its time is the first copy by two workers of PostgreSQL, then the indexes; requests are served
  during both. Copies are encrypted, dumps go through a pipe.
- Other tenants' p99 comes from commits that wait for the disk, behind the log that a move writes there, and from clients
  and servers that wait for a core: a move keeps one of the two busy.
- A reshape takes longer than one transaction, because it copies, compares and applies changes in steps; its work behind
  the fence does not depend on the number of rows.
`;
}
