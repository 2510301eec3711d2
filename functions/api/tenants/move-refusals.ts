import { invalidInput, Problem } from '../../middleware/problem.ts';
import { InvalidMoveInput, MoveError, MoveForbidden, MoveNotStarted } from '../../move/errors.ts';

/** Does what may start or stop a move, and turns what moves refuse into problems. @throws {Problem} */
export async function answeringMoveRefusals<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InvalidMoveInput) {
      throw invalidInput(
        error.issues.map(({ path, pointer, message }) => ({
          pointer: pointer ?? (path ? `/${path}` : ''),
          detail: message,
        })),
      );
    }
    if (error instanceof MoveNotStarted) {
      const headers = { 'retry-after': '5' };
      throw new Problem(503, 'unavailable', { detail: error.message, headers, cause: error });
    }
    if (error instanceof MoveForbidden) {
      const errors = error.issues.map(({ rule, detail }) => ({ rule, detail }));
      throw new Problem(409, 'conflict', { detail: error.message, errors, cause: error });
    }
    if (error instanceof MoveError)
      throw new Problem(409, 'conflict', { detail: error.message, cause: error });
    throw error;
  }
}
