/** The part of docs/benchmarks.md that `npm run bench:backup` writes, around the table of one run. */
export function backupDocument(table: string, machine: string): string {
  return `## What a backup costs

Measured on: ${machine}. Workers, servers and the local S3 share these cores.

${table}
`;
}
