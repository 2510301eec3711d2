/** The part of docs/benchmarks.md that `npm run bench:request` writes, around the table of one run. */
export function requestDocument(table: string, machine: string): string {
  return `## What tenancy costs a request

Measured on: ${machine}. Client, servers and proxy share these cores.

${table}

### What is compared

Times are medians of single operations over TLS, on open connections. The compared ways take turns in one run,
in a random order for each round.

- **read / write by key**: one employee by primary key. *session*: \`runTenantBatch\`, which is BEGIN, \`tenancy.enter\`, the
  statement and COMMIT in one round trip; *without pipelining*: the same in three. *raw query*: the bare statement, for
  \`shared\` past row-level security with the tenant in its WHERE clause. *sequential*: BEGIN, \`SELECT set_config(…)\`, the
  statement and COMMIT awaited one by one, for \`shared\` under a policy that compares with the setting. A write takes the
  tenant's lock; the raw one is a single statement that commits by itself. A proxy that
  delays bytes makes the round trip longer; the heading has the measured delay.
- **people function**: its deployed bundle, and for comparison one route, GET /employees/{id}, written with express,
  serverless-http and knex and bundled with the same options. Code counts as loaded when the entry imports it statically.
- **10 active tenants**: \`employees.get\` through directory, router, pools and session in one process, with databases of
  different sizes, each on a server of its own. A Business tenant has a schema, a role and a pool; every
  tenant has 20 employees. No configuration of ours allows more than 190 Business tenants per cell.
- **GET /employees/{id}**: over HTTP through the local platform's gateway, JWT authorizer, Lambda worker and PostgreSQL.

### How to read it

- A session adds processor time. In instructions of the server, the raw read takes 365,000, BEGIN and COMMIT 47,000, the
  call of \`tenancy.enter\` 160,000, the policy of a shared table 150,000.
- \`sequential\` is four round trips, but three of them do almost no work, while every read parses and plans twelve columns.
  So at 1 ms it takes only 3.5 times as long as the raw query, and no session could be faster than it by more than 3.5; the
  ratio approaches 4 for longer round trips.
- A batch is sent in two packets and answered in three: the server enters the tenant while the client compiles, and the
  client reads the first answers while the server continues. This needs a core for each, which a function and its database
  have. With one more busy process on two cores, client and server interrupt each other instead: 2.0 and 1.25 times the
  raw read at 0 and 1 ms. One packet and one answer vary less there (1.8 and 1.17) and are slower otherwise (1.6 and 1.14).
`;
}
