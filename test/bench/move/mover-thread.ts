import tls from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';
import type { Hop } from '../../../functions/moves/hop.ts';
import { runMove } from './move-steps.ts';
import type { MoverAnswer } from './mover.ts';

/** The other side of `Mover`: one hop a message. */
tls.setDefaultCACertificates((workerData as { certificates: string[] }).certificates);

parentPort?.on('message', async (hop: Hop) => {
  parentPort?.postMessage(await answer(hop));
});
parentPort?.postMessage('ready');

async function answer(hop: Hop): Promise<MoverAnswer> {
  try {
    const { phases, ...run } = await runMove(hop);
    const since1970 = (ms: number) => ms + performance.timeOrigin;
    return {
      run: {
        ...run,
        phases: phases.map(({ name, startedAt, endedAt }) => ({
          name,
          startedAt: since1970(startedAt),
          endedAt: since1970(endedAt),
        })),
      },
    };
  } catch (error) {
    return { error };
  }
}
