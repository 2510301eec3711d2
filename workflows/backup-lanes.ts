/**
 * The states that write a planned backup: two lanes of workers copy its parts side by side, then the manifest is written.
 * What `tenant-backup` and a restore to a point in time have in common.
 *
 * A lane is called until it answers that it is done: a call of it has 7 events and works for up to 13 minutes.
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

/** Lambda's limit. A lane goes on in the next call. */
export const BACKUP_DATA_TIMEOUT = Duration.minutes(15);

const LANES = [0, 1] as const;

/** A move keeps the tenant, or a rollout its tables: the backup waits for about five hours. */
export const keptByOther: RetryProps = {
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
  /** Fields of the workflow's state that the phases need besides `executionArn` and `backup`. */
  readonly carried?: readonly string[];
  /** Follows a phase that failed, with the error in `$.failure`. */
  readonly failed: IChainable;
  /** Ends the names of the states, in a workflow with others of these names. */
  readonly ending?: string;
}

/** From the plan to the manifest. */
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

/** One of the two workers, which copies part after part. */
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
    retries: [keptByOther],
    ...(resultPath === undefined ? {} : { resultPath }),
  });
}
