/** The part of docs/benchmarks.md that `npm run bench:api` writes, around the table of one run. */
export function apiDocument(table: string, machine: string): string {
  return `## What cache, audit and encryption do to a request

Measured on: ${machine}. Clients, servers, databases and Valkey share these cores.

${table}

### What is compared

Times are medians of single operations over TLS, on open connections. The compared ways take turns in one run,
in a random order for each round.

- **at the session**: \`employees.get\` and \`employees.update\` in one process, through directory, router, pools and session, with
  no added distance. A *cached* read is a hit. *without an audit entry*: the bare UPDATE in a session. Encrypted fields
  are those of an administrator's request, under a data key that the process has already.
- **over HTTP**: the same read through the gateway, authorizer and Lambda worker of two local platforms, one with Valkey and one without.
- **mixed load**: eight clients that send the next request when the last one is answered: seven of ten read one of twenty
  employees, one reads the skills, two change an employee. The tenants' limits of requests are lifted.

Both ways are one round trip: a pipelined read of the database, with BEGIN, \`enter\` and COMMIT, costs little more than its
query, and Valkey is asked over TLS, too: for the value, and whether its place is closed. With a distance of 1 ms in a real
network both cost about that. So the cache takes load off the databases; over HTTP it does not make single reads much faster.
`;
}
