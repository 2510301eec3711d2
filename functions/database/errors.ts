/** What `tenancy.enter` tells of a fence: who holds it, and when it ends by the database's clock. */
export interface FenceDetail {
  readonly fenceToken?: string;
  readonly fenceExpiresAt?: string;
  readonly expired?: boolean;
}

/** TN001: the tenant's writes are paused for the end of a move. Nothing ran; try again shortly. */
export class TenantFenced extends Error {
  override name = 'TenantFenced';
  readonly fence: FenceDetail;
  constructor(fence: FenceDetail, options?: ErrorOptions) {
    super('the tenant is fenced', options);
    this.fence = fence;
  }
}

/** TN002: the tenant lives elsewhere now. Nothing ran; `forward` is the placement it moved to, where told. */
export class TenantMoved extends Error {
  override name = 'TenantMoved';
  readonly forward: unknown;
  constructor(forward: unknown, options?: ErrorOptions) {
    super('the tenant has moved', options);
    this.forward = forward;
  }
}

/** TN003: the caller knew an older (or newer) epoch of the placement. Nothing ran. */
export class StaleEpoch extends Error {
  override name = 'StaleEpoch';
}

/** TN004: this database does not know the tenant, or the login role does not own it. Never retried elsewhere. */
export class WrongTenant extends Error {
  override name = 'WrongTenant';
}

/** The placement's database, role or schema could not be reached as the cache remembered it. Nothing ran. */
export class PlacementUnreachable extends Error {
  override name = 'PlacementUnreachable';
}

/**
 * The statement names a table or a column that the target does not have: its tables are not as new as the code, or they
 * went with a move. Nothing was committed.
 */
export class SchemaUpgrading extends Error {
  override name = 'SchemaUpgrading';
}

/** 40001, 40P01, 55P03: PostgreSQL asks for the transaction to be run again. Nothing was committed. */
export class TransactionConflict extends Error {
  override name = 'TransactionConflict';
}

/** The connection ended between COMMIT and its answer: the transaction may or may not have happened. Never retried. */
export class CommitUnknown extends Error {
  override name = 'CommitUnknown';
}

/** The transaction took longer than its role allows, or was cancelled. Nothing was committed. */
export class TransactionTimedOut extends Error {
  override name = 'TransactionTimedOut';
}

/** The tenant is already placed here, in another place or under another epoch. Nothing was changed. */
export class PlacementConflict extends Error {
  override name = 'PlacementConflict';
}

/** The schema belongs to another tenant, or requests still go there. Nothing was changed. */
export class TenantSchemaInUse extends Error {
  override name = 'TenantSchemaInUse';
}

/** Migrations ran on the target that this code does not know, in the place of its own. Nothing was changed. */
export class HistoryDiverged extends Error {
  override name = 'HistoryDiverged';
  constructor(executed: string, expected: string) {
    super(`the history of the target has the migration ${executed} where this release has ${expected}`);
  }
}

/** A move works on the tenant, or on one that it takes to or from the shared tables. Nothing was changed; transient. */
export class TargetMoving extends Error {
  override name = 'TargetMoving';
  constructor() {
    super('a move of the tenant is running');
  }
}

/** Another session builds indexes of the target's tables. Nothing was changed; transient. */
export class IndexesInProgress extends Error {
  override name = 'IndexesInProgress';
  constructor() {
    super('an earlier try builds the indexes of the target');
  }
}

/** The tenant is not placed where the caller expects it. Nothing was changed. */
export class TargetMoved extends Error {
  override name = 'TargetMoved';
  constructor() {
    super('the tenant is placed differently');
  }
}
