import * as z from 'zod';

const environment = z.object({ MOVE_CLEANUP_STATE_MACHINE_ARN: z.string().min(1) });

/** ARN of `tenant-move-cleanup`. @throws {z.ZodError} the function's environment is incomplete. */
export const cleanUpStateMachine = () => environment.parse(process.env).MOVE_CLEANUP_STATE_MACHINE_ARN;
