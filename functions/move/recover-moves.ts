import type { DataApi } from '../database/registry/data-api.ts';

export interface EndedExecution {
  readonly executionArn: string;
  readonly status: string;
}

export interface RecoverOptions {
  readonly ended?: EndedExecution;
  readonly deadline?: number;
  readonly cleanUp?: {
    readonly stateMachineArn: string;
    readonly start: (name: string, input: object) => Promise<void>;
  };
}

export interface Recovered {
  readonly moves: readonly string[];
  readonly cleanUps: readonly string[];
}

export async function recoverMoves(_registry: DataApi, _options?: RecoverOptions): Promise<Recovered> {
  throw new Error('placeholder');
}
