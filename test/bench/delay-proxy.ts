import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { interleave } from './interleave.ts';

/** A way to a server of this machine that takes as long as one over a network. */
export interface DelayProxy {
  readonly port: number;
  /** What it really adds to a round trip, as measured, in milliseconds. */
  readonly addedMs: number;
  stop(): Promise<void>;
}

export interface Pinger {
  /** Makes one round trip. */
  ping(): Promise<unknown>;
  end(): Promise<unknown>;
}

/**
 * Starts a proxy that adds `roundTripMs` to each round trip: what passing bytes on costs by itself is measured and
 * taken off the delay.
 * @param connect to the server, by way of a port.
 */
export async function startDelayProxy(
  targetPort: number,
  roundTripMs: number,
  connect: (port: number) => Promise<Pinger>,
): Promise<DelayProxy> {
  const worker = new Worker(new URL('./delay-proxy-worker.ts', import.meta.url), {
    workerData: { targetPort },
  });
  const [port] = (await once(worker, 'message')) as [number];
  const setDelay = async (milliseconds: number) => {
    worker.postMessage(milliseconds);
    await once(worker, 'message');
  };
  const direct = await connect(targetPort);
  const proxied = await connect(port);
  const measure = async () => {
    const timings = await interleave(
      { direct: () => direct.ping(), proxied: () => proxied.ping() },
      { rounds: 300, warmup: 100 },
    );
    return timings.proxied.p50 - timings.direct.p50;
  };
  let delayMs = 0;
  let addedMs = await measure();
  // Twice: what the proxy costs by itself differs a little once it delays.
  for (let correction = 0; correction < 2; correction++) {
    delayMs = Math.max(0, delayMs + roundTripMs - addedMs);
    await setDelay(delayMs / 2);
    addedMs = await measure();
  }
  await Promise.all([direct.end(), proxied.end()]);
  return {
    port,
    addedMs,
    stop: async () => void (await worker.terminate()),
  };
}
