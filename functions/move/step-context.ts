import type { DataApi } from '../database/registry/data-api.ts';
import type { StepContext } from './hop.ts';

export interface StepReference {
  readonly moveId: string;
  readonly hopIndex: number;
  readonly phase: string;
  readonly cursor?: unknown;
}

export async function openStep(_r: DataApi, _s: StepReference, _deadline: number): Promise<StepContext> {
  throw new Error('placeholder');
}
