/** What the protocol does for safety, each of it a switch: without any single one the checker finds a counter-example. */
export interface Guards {
  /** A write holds the tenant's writers' key shared until it ends. */
  readonly writersTakeLock: boolean;
  /** A write reads the placement in a later statement than the one that got it the key. */
  readonly lockBeforeRead: boolean;
  /** `enter` refuses another epoch than the placement's. */
  readonly epochChecked: boolean;
  /** A read sees placement and rows in one snapshot. */
  readonly readsInSnapshot: boolean;
  /** A request whose COMMIT was not answered is not run again. */
  readonly unknownCommitNotRetried: boolean;
  /** Whoever meets a fence that has run out may clear it. */
  readonly expiredFenceCleared: boolean;
  /** The server ends the transaction of a mover that hangs. */
  readonly hungMoverEnded: boolean;
  /** A fence is raised under the writers' key held exclusively: it waits for the writes in flight. */
  readonly fenceDrainsWriters: boolean;
  /** Each raising of a fence has a token of its own. */
  readonly freshToken: boolean;
  /** A flip counts only under the token that its mover raised the fence with. */
  readonly flipChecksToken: boolean;
  /** Raising a fence, and the flip, are conditional on the claim. */
  readonly claimChecked: boolean;
  /** A transaction of an attempt is refused once the tenant is in another epoch, though the claim still stands. */
  readonly claimChecksEpoch: boolean;
  /** A claim is given and taken under the movers' key held exclusively: after the open transactions of an attempt. */
  readonly moverKeyTaken: boolean;
  /** What replication needed is dropped under the movers' key, exclusively: whatever might make it again has ended. */
  readonly finalizedUnderKey: boolean;
  /** Capture is switched on under the writers' key held exclusively. */
  readonly captureUnderLock: boolean;
  /** A catch-up round takes from the log exactly what its snapshot shows. */
  readonly roundInOneSnapshot: boolean;
  /** The last captured changes are applied under the fence, not before it. */
  readonly deltaUnderFence: boolean;
  /** Two runs of a reshape's step take turns: neither reads before, and writes after, what the other has written. */
  readonly stepsInTurn: boolean;
  /** A target that was used before is emptied only until capture is on, however often the step runs. */
  readonly emptiedBeforeCapture: boolean;
  /** A relocate waits until every table is copied. */
  readonly tablesAwaited: boolean;
  /** A relocate waits for the fence's marker at the target. */
  readonly markerAwaited: boolean;
  /** The tenant is placed at the target before the flip at the source. */
  readonly targetPlacedFirst: boolean;
  /** An attempt works at the target under that database's movers' key, too; who rolls back takes it exclusively. */
  readonly targetKeyTaken: boolean;
  /** The registry is told of a move before the tenant is released for the next one. */
  readonly registryToldFirst: boolean;
  /** An attempt begins once the one before it is settled or rolled back, by the registry: a tenant has one open hop. */
  readonly oneOpenHop: boolean;
  /** Rolling back empties the shared tables only while no other attempt has claimed the tenant. */
  readonly rollBackSparesClaimed: boolean;
  /** Rolling back a return to a database restores the forward that was there. */
  readonly forwardKept: boolean;
  /** Clean-up checks the epoch again in the transaction that erases. */
  readonly cleanUpRechecksEpoch: boolean;
  /** Clean-up erases only while no attempt has claimed the tenant. */
  readonly cleanUpRespectsClaim: boolean;
}

/**
 * What the code does too, though the protocol holds without any one of these: each stands behind a guard that would have
 * to fail first.
 */
export interface SecondLines {
  /** A flip fails once its fence has run out, though nobody has cleared it. The token tells already. */
  readonly flipChecksExpiry: boolean;
  /** A flip waits for writers. The fence let none in. */
  readonly flipTakesLock: boolean;
  /** A flip is conditional on the claim. A recovery clears the fence, and so takes the token away. */
  readonly flipChecksClaim: boolean;
  /** Placing a tenant replaces nothing but a row that says `moved`, of an older epoch. The claim lets no other attempt place. */
  readonly placingCompares: boolean;
  /** A fence that ran out is cleared under the writers' key. Compare-and-set is enough. */
  readonly clearingTakesLock: boolean;
}

export const everySecondLine: SecondLines = {
  flipChecksExpiry: true,
  flipTakesLock: true,
  flipChecksClaim: true,
  placingCompares: true,
  clearingTakesLock: true,
};

export const everyGuard: Guards = {
  writersTakeLock: true,
  lockBeforeRead: true,
  epochChecked: true,
  readsInSnapshot: true,
  unknownCommitNotRetried: true,
  expiredFenceCleared: true,
  hungMoverEnded: true,
  fenceDrainsWriters: true,
  freshToken: true,
  flipChecksToken: true,
  claimChecked: true,
  claimChecksEpoch: true,
  moverKeyTaken: true,
  finalizedUnderKey: true,
  captureUnderLock: true,
  roundInOneSnapshot: true,
  deltaUnderFence: true,
  stepsInTurn: true,
  emptiedBeforeCapture: true,
  tablesAwaited: true,
  markerAwaited: true,
  targetPlacedFirst: true,
  targetKeyTaken: true,
  registryToldFirst: true,
  oneOpenHop: true,
  rollBackSparesClaimed: true,
  forwardKept: true,
  cleanUpRechecksEpoch: true,
  cleanUpRespectsClaim: true,
};
