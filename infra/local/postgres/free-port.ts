import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { PlatformError } from '../errors.ts';

/**
 * A free loopback port. The previous one is preferred, because rows and secrets may contain it; new ones are below the
 * range that systems use for outgoing connections, so that they stay free between runs.
 * @param taken ports that are reserved for servers that do not listen yet
 * @param range of new ones, `to` excluded
 */
export async function freePort(
  remembered: number | undefined,
  taken: Set<number>,
  range = { from: 15_000, to: 30_000 },
): Promise<number> {
  if (remembered !== undefined && !taken.has(remembered) && (await isFree(remembered))) return remembered;
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(range.from, range.to);
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new PlatformError('found no free loopback port');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
