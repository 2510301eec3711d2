import { setTimeout as delay } from 'node:timers/promises';
import { ReplicationLost } from '../../database/transfer/errors.ts';
import { slotLag } from '../../database/transfer/replication/slot.ts';
import { arrivedSize, schemaSize, syncState } from '../../database/transfer/replication/sync-state.ts';
import { replicationName, type StepContext, type StepOutcome } from '../hop.ts';
import { onBothSides } from './both-sides.ts';
import { orReplicationBroken, refuseFailures } from './replication-broken.ts';

const POLL_MS = 250;

/**
 * Watches PostgreSQL copy the tables.
 * @throws {ReplicationBroken}
 */
export function copyRelocate(context: StepContext): Promise<StepOutcome> {
  const { hop, deadline } = context;
  const name = replicationName(hop);
  return orReplicationBroken(() =>
    onBothSides(hop, async ({ source, target }) => {
      for (;;) {
        const state = await syncState(target, name);
        refuseFailures(state);
        if (!(await slotLag(source, name))) throw new ReplicationLost('there is no slot');
        const total = await schemaSize(source, hop.source.schemaName);
        const { rows, bytes } = await arrivedSize(target, name, hop.target.schemaName);
        const done = state?.copied === state?.tables;
        await context.progress({
          rowsDone: rows,
          rowsTotal: done ? rows : Math.max(rows, total.rows),
          bytesDone: bytes,
          bytesTotal: done ? bytes : Math.max(bytes, total.bytes),
        });
        if (done) {
          await context.keep({ copiedRows: rows, copiedBytes: bytes });
          return { done };
        }
        if (performance.now() + POLL_MS > deadline) return { done };
        await delay(POLL_MS);
      }
    }),
  );
}
