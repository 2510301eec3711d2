/** The attempt is not (or no longer) the one that may move the tenant. Nothing was changed. */
export class ClaimLost extends Error {
  override name = 'ClaimLost';
}

/** Transactions of another attempt, or of another run of this one, did not end in time. Nothing was changed; try again later. */
export class AttemptBusy extends Error {
  override name = 'MoverBusy';
}

/** A writer keeps its transaction open, or an earlier fence has not expired yet. Nothing was changed; try again later. */
export class WritersBusy extends Error {
  override name = 'WritersBusy';
}

/** The fence expired, or is another one, before the move could be committed. The tenant stays where it was. */
export class FenceLost extends Error {
  override name = 'FenceLost';
}

/** The hop is committed: it cannot be rolled back any more. Nothing was changed. */
export class MoveCommitted extends Error {
  override name = 'MoveCommitted';
}

/** The slot was lost, or changes cannot be applied: the copy cannot be completed. */
export class ReplicationLost extends Error {
  override name = 'ReplicationLost';
}

/** The snapshot to be read has no transaction any more, or the place that was to be read is another by now. */
export class SnapshotGone extends Error {
  override name = 'SnapshotGone';
}

/** DDL on the tables to be read is under way, or waits for them. Nothing is held; try again later. */
export class TablesLocked extends Error {
  override name = 'TablesLocked';
}
