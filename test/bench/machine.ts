import { arch, cpus, loadavg, release, type as systemName, totalmem } from 'node:os';

/** What the figures of a run depend on, in a line. Begin before the run, describe after it. */
export function machineOf(): { describe(databases: string): string } {
  const before = loadavg()[0] ?? 0;
  const [cpu] = cpus();
  return {
    describe: (databases) =>
      [
        `${cpus().length} cores (${cpu?.model.trim()})`,
        `${Math.round(totalmem() / 2 ** 30)} GB`,
        `${systemName()} ${release().split('-')[0]} ${arch()}`,
        `Node ${process.versions.node}`,
        databases,
        `load average ${before.toFixed(1)} before and ${(loadavg()[0] ?? 0).toFixed(1)} after`,
      ].join(', '),
  };
}
