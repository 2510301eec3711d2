import type { DataApi } from '../database/registry/data-api.ts';
import type { MoveFailure } from './failure-reason.ts';

export interface RolledBack {
  readonly outcome: 'succeeded' | 'aborted' | 'failed';
  readonly reason: string;
}

export async function rollBackMove(
  _registry: DataApi,
  _moveId: string,
  _failure: MoveFailure,
): Promise<RolledBack> {
  throw new Error('placeholder');
}
