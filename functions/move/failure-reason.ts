export interface MoveFailure {
  readonly Error: string;
  readonly Cause?: string | undefined;
}

export function reasonOf(_failure: MoveFailure): string {
  throw new Error('placeholder');
}
