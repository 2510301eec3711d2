/**
 * The move that brings a tenant which has come from another region to where its tier belongs. It changes the isolation
 * model, but not what the tenant has bought. It is told from others by its execution's name.
 */
export const onwardExecutionName = (crossingMoveId: string) => `onward-${crossingMoveId}`;

/** SQL of a row of `tenant_moves`: whether it is none. A move may have no execution. */
export const isNotOnward = (move: string) => `(${move}.execution_arn ~ ':onward-[0-9a-f-]{36}$') IS NOT TRUE`;
