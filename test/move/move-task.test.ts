import pg from 'pg';
import { expect, test } from 'vitest';
import { AttemptBusy, ClaimLost, FenceLost, WritersBusy } from '../../functions/database/transfer/errors.ts';
import { MoveAborted, MoveMismatch } from '../../functions/moves/errors.ts';
import { NoCellCapacity } from '../../functions/placement/errors.ts';
import { ProxyBusy } from '../../functions/places/errors.ts';
import { RegistryError } from '../../functions/registry/errors.ts';
import { toMoveError } from '../../functions/tasks/move-task.ts';

const database = (code: string) =>
  Object.assign(new pg.DatabaseError('db.internal', 4, 'error'), { code, severity: 'ERROR' });
const named = (name: string, more = {}) => Object.assign(new Error('db.internal'), { name, ...more });

test.each([
  ['an abort', new MoveAborted(), 'MoveAborted'],
  ['a mismatch', new MoveMismatch({ cause: 'db.internal' }), 'MoveMismatch'],
  ['a refusal of what is provisioned', new ProxyBusy(), 'ProxyBusy'],
  ['a cell that is full', new NoCellCapacity('business', 'us'), 'NoCellCapacity'],
  ['a claim that another has', new ClaimLost('db.internal'), 'MoveOvertaken'],
  ['another mover', new AttemptBusy('db.internal'), 'CutOverPostponed'],
  ['a writer that does not end', new WritersBusy('db.internal'), 'CutOverPostponed'],
  ['a fence that ran out', new FenceLost('db.internal'), 'CutOverPostponed'],
  ['a mover that was frozen', database('25P03'), 'DependencyUnavailable'],
  ['a transaction that took too long', database('25P04'), 'DependencyUnavailable'],
  ['a failover', database('57P01'), 'DependencyUnavailable'],
  ['a deadlock in the registry', new RegistryError('db.internal', '40P01'), 'DependencyUnavailable'],
  ['throttling', named('ThrottlingException'), 'DependencyUnavailable'],
  ['a violated constraint', database('23505'), 'MoveStepFailed'],
  ['a denied permission', named('AccessDeniedException'), 'MoveStepFailed'],
  ['no error at all', 'a string', 'MoveStepFailed'],
])('%s leaves a task under a name that the workflow knows', (_what, error, name) => {
  const typed = toMoveError(error);
  expect(typed.name).toBe(name);
  expect(typed.message).not.toContain('db.internal');
});
