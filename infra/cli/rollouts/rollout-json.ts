import type { Schemas } from '../api-client.ts';
import { counted, shownText } from '../shown-text.ts';

/** A schema rollout as the API returns it, as far as it is shown; only a single one has the lists. */
export type Rollout = Pick<
  Schemas['ListedRollout'],
  'rolloutId' | 'status' | 'reason' | 'schemaVersion' | 'targets'
> &
  Partial<Pick<Schemas['Rollout'], 'failed'>>;

/** `3 of 3 targets at version 3, 1 failed` */
export function rolloutProgress({ targets, schemaVersion }: Rollout): string {
  const { succeeded, total, failed, deferred } = targets;
  return [
    `${succeeded} of ${counted(total, 'target')} at version ${schemaVersion}`,
    ...(deferred > 0 ? [`${deferred} wait for a move`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ].join(', ');
}

/** The outcome of an ended rollout, with a line for each failed target. */
export function rolloutReport(rollout: Rollout): string[] {
  const { status, reason, failed = [] } = rollout;
  return [
    `${status}: ${rolloutProgress(rollout)}${reason ? `: ${shownText(reason)}` : ''}`,
    ...failed.map((target) => `  ${targetName(target)}: ${shownText(target.reason ?? '')}`),
  ];
}

function targetName({ slug, tenantId, cellId }: Schemas['RolloutTarget']): string {
  return slug ?? tenantId ?? `shared tables of ${cellId}`;
}
