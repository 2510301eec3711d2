/** Runs `work` under a longest pause of writes, in milliseconds. */
export async function withinPause<Result>(ms: number, work: () => Promise<Result>): Promise<Result> {
  const before = process.env.MOVE_MAX_PAUSE_MS;
  process.env.MOVE_MAX_PAUSE_MS = String(ms);
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env.MOVE_MAX_PAUSE_MS;
    else process.env.MOVE_MAX_PAUSE_MS = before;
  }
}
