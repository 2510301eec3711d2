import { randomUUID } from 'node:crypto';
import type { DataApi } from '../registry/data-api.ts';
import { now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { boundTransaction } from '../registry/transaction-limits.ts';
import { draftMove, requireAllowed } from './draft-move.ts';
import { InvalidMoveInput, MoveInProgress, MoveOvertaken } from './errors.ts';
import type { Regions } from './hop.ts';
import { findMovingTenant, type MoveRecord, selectMoves } from './move-records.ts';
import { type CountedUsage, countIfNotMetered, type SurveyOf } from './move-rules.ts';
import { type MoveInput, readMoveInput } from './move-target.ts';
import { type Probes, recoverMove } from './recover-moves.ts';
import { insertMove } from './request-move.ts';

/** The move that an execution works on. */
export interface BegunMove {
  readonly moveId: string;
  readonly tenantId: string;
}

type Registry = Pick<DataApi, 'transaction' | 'query'>;

/**
 * The first phase of an execution. It continues the move that the request, or an earlier run of this phase, has recorded
 * under the execution's name; otherwise it plans and records the move. When the tenant has a running move already,
 * recovery ends that one if its execution is dead.
 * @param survey counts what was never metered, when the target tier has limits.
 * @throws {InvalidMoveInput | TenantNotMovable | MoveInProgress | NothingToMove | MoveForbidden} nothing was changed.
 * @throws {MoveOvertaken} the execution's move has been ended by its starter or by recovery.
 */
export async function beginMove(
  registry: Registry,
  input: unknown,
  executionArn: string,
  { survey, ...probes }: Probes & { survey?: SurveyOf } = {},
): Promise<BegunMove> {
  const read = readMoveInput(input);
  for (;;) {
    const known = await takeUp(registry, executionArn);
    if (known) return known;
    // Before the transaction: a survey takes seconds.
    const counted = await countIfNotMetered(registry, read, survey);
    const begun = await insert(registry, read, { executionArn, counted, regions: probes.regions });
    if (!('status' in begun)) return begun;
    if (!(await recoverMove(registry, begun, probes))) throw new MoveInProgress();
  }
}

async function takeUp(registry: Registry, executionArn: string): Promise<BegunMove | undefined> {
  const [own] = await selectMoves(registry, (moves) => moves.where('m.execution_arn', '=', executionArn));
  if (!own) return undefined;
  const { moveId, tenantId, status } = own;
  if (status === 'running') {
    await registrySql(registry)
      .updateTable('tenant_moves')
      .set({ phase: 'begun', updated_at: now })
      .where('move_id', '=', moveId)
      .where('status', '=', 'running')
      .where('phase', '=', 'planned')
      .execute();
  } else if (status !== 'succeeded') throw new MoveOvertaken();
  return { moveId, tenantId };
}

/** @returns the new move, or the one that the tenant has. */
function insert(
  registry: Registry,
  input: MoveInput,
  {
    executionArn,
    counted,
    regions,
  }: { executionArn: string; counted: CountedUsage | undefined; regions: Regions | undefined },
): Promise<BegunMove | MoveRecord> {
  return registry.transaction(async (transaction) => {
    await boundTransaction(transaction);
    const tenant = await findMovingTenant(transaction, input.tenant, { lock: true });
    if (!tenant) throw new InvalidMoveInput([{ path: 'tenantId', message: 'names no tenant' }]);
    const { tenantId } = tenant;
    const [running] = await selectMoves(transaction, (moves) =>
      moves.where('m.tenant_id', '=', tenant.tenantId).where('m.status', '=', 'running'),
    );
    if (running) return running;
    const draft = await draftMove(transaction, tenant, input.target, {
      force: input.force,
      counted,
      regions,
    });
    requireAllowed(draft);
    const moveId = randomUUID();
    const startedBy = input.startedBy ?? executionArn;
    const actor = { id: executionArn, type: 'workflow' } as const;
    await insertMove(
      transaction,
      { moveId, tenantId, input, draft, executionArn, startedBy, phase: 'begun' },
      actor,
    );
    return { moveId, tenantId };
  });
}
