/**
 * The states that plan and write a backup: two lanes of workers copy its parts in parallel, then the manifest is
 * written. `tenant-backup` and restores to a point in time share them.
 *
 * A lane's worker is called until it returns `done`. A call adds 7 events to the history and works for up to 13
 * minutes.
 */
import { Duration } from 'aws-cdk-lib';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import {
  Chain,
  Choice,
  Condition,
  Errors,
  type IChainable,
  JitterType,
  JsonPath,
  Parallel,
  Pass,
  Result,
  type RetryProps,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks';
import type { Construct } from 'constructs';
import { BackupDuringMove, TablesChanging } from '../functions/backups/errors.ts';
import { beyond, phaseOf, taskState } from './task-states.ts';

/** Lambda's limit. A lane continues in the next call. */
export const BACKUP_DATA_TIMEOUT = Duration.minutes(15);

const LANES = [0, 1] as const;

/** For a move of the tenant or a rollout of its tables: the backup waits about five hours for its end. */
export const waitForMoveOrRollout: RetryProps = {
  errors: [BackupDuringMove.name, TablesChanging.name],
  interval: Duration.seconds(10),
  backoffRate: 1.5,
  maxAttempts: 65,
  maxDelay: Duration.minutes(5),
  jitterStrategy: JitterType.FULL,
};

export interface BackupLanesProps {
  /** The entry `backup-data`. */
  readonly data: IFunction;
  /** Fields of the workflow's state that the phases need in addition to `executionArn` and `backup`. */
  readonly carried?: readonly string[];
  /** The next state after a failed phase; the error is in `$.failure`. */
  readonly failed: IChainable;
  /** Suffix of the states' names, for a workflow that has other states of these names. */
  readonly ending?: string;
}

/** The states from the plan to the manifest. */
export function backupStates(
  scope: Construct,
  { data, carried = [], failed, ending = '' }: BackupLanesProps,
): Chain {
  const copy = new Parallel(scope, `Copy${ending}`, { resultPath: JsonPath.DISCARD });
  for (const lane of LANES) copy.branch(laneOf(scope, lane, { data, carried }));
  copy.addCatch(failed, { errors: [Errors.ALL], resultPath: '$.failure' });
  const phase = (name: string, id: string) =>
    task(scope, name, id, data).addCatch(failed, { errors: [Errors.ALL], resultPath: '$.failure' });
  return Chain.start(phase(`Plan${ending}`, 'plan'))
    .next(copy)
    .next(phase(`Finish${ending}`, 'finish'));
}

/** The states of one lane: its worker copies part after part. */
function laneOf(
  scope: Construct,
  lane: (typeof LANES)[number],
  { data, carried }: { readonly data: IFunction; readonly carried: readonly string[] },
): Chain {
  const work = task(scope, `Copy in lane ${lane}`, 'copy', data, '$.step');
  const fields = ['executionArn', 'backup', ...carried].map((field) => [`${field}.$`, `$.${field}`]);
  return Chain.start(new Pass(scope, `Lane ${lane}`, { parameters: { ...Object.fromEntries(fields), lane } }))
    .next(work)
    .next(
      new Choice(scope, `Lane ${lane}: done?`)
        .when(Condition.booleanEquals('$.step.done', false), work)
        .otherwise(new Pass(scope, `Lane ${lane} done`, { result: Result.fromObject({ done: true }) })),
    );
}

function task(
  scope: Construct,
  name: string,
  phase: string,
  data: IFunction,
  resultPath?: string,
): LambdaInvoke {
  return taskState(scope, name, data, {
    timeout: beyond(BACKUP_DATA_TIMEOUT),
    payload: phaseOf(phase),
    retries: [waitForMoveOrRollout],
    ...(resultPath === undefined ? {} : { resultPath }),
  });
}
