import { counted, shownText } from '../shown-text.ts';

/** A schema rollout as the API answers it; the lists come with a single one only. */
export interface Rollout {
  rolloutId: string;
  region: string;
  status: 'running' | 'succeeded' | 'failed' | 'aborted';
  phase: string;
  reason: string | null;
  schemaVersion: number;
  targets: { total: number; pending: number; deferred: number; succeeded: number; failed: number };
  startedBy: string;
  startedAt: string;
  finishedAt: string | null;
  failed?: RolloutTarget[];
  deferred?: RolloutTarget[];
}

export interface RolloutTarget {
  isolationModel: 'shared' | 'schema' | 'dedicated';
  cellId: string | null;
  slug: string | null;
  tenantId: string | null;
  reason: string | null;
}

/** `3 of 3 targets at version 3, 1 failed` */
export function rolloutProgress({ targets, schemaVersion }: Rollout): string {
  const { succeeded, total, failed, deferred } = targets;
  return [
    `${succeeded} of ${counted(total, 'target')} at version ${schemaVersion}`,
    ...(deferred > 0 ? [`${deferred} wait for a move`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ].join(', ');
}

/** How a rollout that has ended went, with a line for each target that failed. */
export function rolloutReport(rollout: Rollout): string[] {
  const { status, reason, failed = [] } = rollout;
  return [
    `${status}: ${rolloutProgress(rollout)}${reason ? `: ${shownText(reason)}` : ''}`,
    ...failed.map((target) => `  ${targetName(target)}: ${shownText(target.reason ?? '')}`),
  ];
}

function targetName({ slug, tenantId, cellId }: RolloutTarget): string {
  return slug ?? tenantId ?? `shared tables of ${cellId}`;
}
