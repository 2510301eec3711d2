import * as z from 'zod';
import { namedIssues } from '../contracts/input-issues.ts';
import type { CredentialTarget } from './credential-subject.ts';
import { InvalidCredentialInput } from './errors.ts';

/** Input of an execution of `credential-rotation`. */
const input = z.strictObject({
  /** The record of a request. */
  rotationId: z.uuid().optional(),
  /** Id or slug. */
  tenantId: z.string().min(1).max(100).optional(),
  cellId: z.string().min(1).max(100).optional(),
  registry: z.literal(true).optional(),
  role: z.enum(['login', 'starter', 'owner']).optional(),
  now: z.boolean().optional(),
  startedBy: z.string().max(500).optional(),
});

export interface RotationInput {
  readonly rotationId?: string | undefined;
  /** Undefined with a `rotationId`. */
  readonly target: CredentialTarget | undefined;
  readonly isImmediate: boolean;
  readonly startedBy: string | undefined;
}

/** @throws {InvalidCredentialInput} */
export function readRotationInput(given: unknown): RotationInput {
  const { data, error } = input.safeParse(given);
  if (error) {
    throw new InvalidCredentialInput(namedIssues(error.issues));
  }
  const { rotationId, now = false, startedBy } = data;
  return { rotationId, target: targetOf(data), isImmediate: now, startedBy };
}

function targetOf({ rotationId, tenantId, cellId, registry, role }: z.output<typeof input>) {
  if (rotationId !== undefined) return undefined;
  const named = [tenantId, cellId, registry].filter((each) => each !== undefined);
  if (named.length !== 1) {
    throw new InvalidCredentialInput([{ path: '', message: 'names one of tenantId, cellId and registry' }]);
  }
  if (tenantId !== undefined && (role === undefined || role === 'login' || role === 'owner')) {
    return { tenant: tenantId, role: role ?? 'login' } as const;
  }
  if (cellId !== undefined && (role === undefined || role === 'starter' || role === 'owner')) {
    return { cellId, role: role ?? 'starter' } as const;
  }
  if (registry && role === undefined) return { registry } as const;
  throw new InvalidCredentialInput([{ path: 'role', message: 'is not a role of it' }]);
}
