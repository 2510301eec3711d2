/**
 * `npm run bench:move`: what moves cost, and what it costs that tenants can be moved. Prints one table and refreshes its
 * part of docs/benchmarks.md; `BENCH_QUICK=1` takes small tenants and leaves the document as it is. Nothing else should
 * run on the machine: the load average before and after is told.
 */
import { refreshDocument } from '../benchmark-document.ts';
import { machineOf } from '../machine.ts';
import { type Result, table } from '../result-table.ts';
import { debianPostgresInstalled } from './debian-servers.ts';
import { sized } from './durable-settings.ts';
import { moveDocument } from './move-document.ts';
import { protocolResults, relocationResults, reshapeResults } from './move-results.ts';
import { MovingCells } from './moving-cells.ts';
import { measureProtocolCost } from './protocol-cost.ts';
import { measureRelocation, type RelocationCost } from './relocation-cost.ts';
import { measureReshape } from './reshape-cost.ts';

// Whoever gives up leaves no server running: they end with the process, if it ends by itself.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const quick = Boolean(process.env.BENCH_QUICK);
const machine = machineOf();
const say = (text: string) => console.error(text);

if (!debianPostgresInstalled)
  say('without pg_dump and pg_restore to compare with: apt-get install postgresql-15');
say('a write while nothing moves');
const protocol = await measureProtocolCost(quick);
// One process knows the certificates of the servers that it has met when it first moves a tenant.
const cells = await MovingCells.start(2, sized);
try {
  say('a tenant goes to another server');
  const relocation = await measureRelocation(cells, quick, say);
  say('Starter tenants get schemas of their own');
  const reshapes = await measureReshape(cells, quick, say);
  report(relocation, [
    ...relocationResults(relocation),
    ...reshapeResults(reshapes),
    ...protocolResults(protocol),
  ]);
} finally {
  await cells.stop();
}

function report({ serverVersion, dumps }: RelocationCost, results: readonly Result[]): void {
  const lines = table(results, 'measured');
  const versions = [serverVersion, dumps?.serverVersion].filter(Boolean).join(' and ');
  const measuredOn = machine.describe(`PostgreSQL ${versions}`);
  console.log(`${lines}\n\n${measuredOn}`);
  if (!quick) refreshDocument('bench:move', moveDocument(lines, measuredOn));
}
