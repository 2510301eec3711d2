import { type Expression, type RawBuilder, sql } from 'kysely';

/**
 * The move that brings a tenant which has come from another region to where its tier belongs. It changes the isolation
 * model, but not what the tenant has bought. It is told from others by its execution's name.
 */
export const followUpExecutionName = (crossingMoveId: string) => `onward-${crossingMoveId}`;

/** Whether a move is none; it may have no execution. */
export const isNoFollowUp = (executionArn: Expression<string | null>): RawBuilder<boolean> =>
  sql`(${executionArn} ~ ':onward-[0-9a-f-]{36}$') is not true`;
