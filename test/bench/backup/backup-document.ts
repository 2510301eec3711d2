/** The part of docs/benchmarks.md that `npm run bench:backup` writes, around the table of one run. */
export function backupDocument(table: string, machine: string): string {
  return `## What a backup costs

Measured on: ${machine}. Workers, servers and what stands for S3 share these cores.

${table}

### What is compared

Our backups and the dumps take turns in one run. Times and sizes are medians of three; peaks of memory are the largest of
all. Servers are as safe as production's and configured alike, as for \`bench:move\`; each run begins behind a CHECKPOINT.

- **backup**: \`planBackup\`, the two lanes of \`copyParts\`, each in a process of its own as a function is, and
  \`finishBackup\`. Processes have started and loaded their code before; connections are opened within the time, and use TLS.
  The registry is reached without the Data API. S3 is a process that stores objects as files, because S3's processors are
  not ours: the local platform's would take most of the time.
- **pg_dump -Fc**, **pg_dump to zstd -3**: the same rows on a PostgreSQL 15 server of Debian, because Debian's tools are of
  that version and refuse a server of 17; ours runs on 17. They write a file, over a connection without TLS.
- **restore**: by one process over two connections. It reads the manifest, checks every object, loads the parts into
  a new schema without keys, then adds primary keys, unique keys, indexes and foreign keys; *and compared* reads every table
  again and compares it with the manifest.
- **pg_restore -j2**: the file of \`pg_dump -Fc\` into an empty database of its server. It compares nothing.
- **peak memory**: the largest resident set of a process, Node.js and what strips the types of our sources included; *of 100 MB*: the same for a tenant of that size.
- **p99 of other tenants**: employees read and changed by key through the router of production, timed from the moment at
  which each request was due; *without a backup* are four seconds before each of three backups.
- **why three targets are missed**: server, workers and S3 share two cores, and the backup keeps both busy: its workers alone
  use about 7.5 s of processor time in 5.6 s (compression, TLS, a SHA-256 of each object, and a hash of each row with which a
  restore is compared). On AWS each of the three has processors of its own. The dumps use no TLS, compute no hash and upload
  nothing; pg_restore compares nothing.
`;
}
