/** What `tenancy.enter` returns about a fence: its token, and when it expires by the database's clock. */
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

/**
 * TN002: the tenant is in another place now. Nothing ran; `forward` is its new placement if the database returned it.
 */
export class TenantMoved extends Error {
  override name = 'TenantMoved';
  readonly forward: unknown;
  constructor(forward: unknown, options?: ErrorOptions) {
    super('the tenant has moved', options);
    this.forward = forward;
  }
}

/** TN003: the caller used another epoch than the placement's. Nothing ran. */
export class StaleEpoch extends Error {
  override name = 'StaleEpoch';
}

/**
 * TN004: this database does not know the tenant, or the login role does not own it. Never retried in another database.
 */
export class WrongTenant extends Error {
  override name = 'WrongTenant';
}

/** The cached placement's database, role or schema could not be reached. Nothing ran. */
export class PlacementUnreachable extends Error {
  override name = 'PlacementUnreachable';
}

/**
 * The statement names a table or a column that the target does not have: its tables are older than the code, or a move
 * has taken them away. Nothing was committed.
 */
export class SchemaUpgrading extends Error {
  override name: string = 'SchemaUpgrading';
}

/** The registry says that the target's tables are of a version before the table or view that the statement names. */
export class TablesBehind extends SchemaUpgrading {
  override name = 'TablesBehind';
}

/** 40001, 40P01, 55P03: PostgreSQL requests a retry of the transaction. Nothing was committed. */
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

/** The schema belongs to another tenant, or requests still use it. Nothing was changed. */
export class TenantSchemaInUse extends Error {
  override name = 'TenantSchemaInUse';
}

/** The target's history has other migrations than this code. Nothing was changed. */
export class HistoryDiverged extends Error {
  override name = 'HistoryDiverged';
  constructor(executed: string, expected: string) {
    super(`the history of the target has the migration ${executed} where this release has ${expected}`);
  }
}

/** A move of the tenant is running, or a move to or from the shared tables. Nothing was changed; transient. */
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

/** The database has no login role of that name. Nothing was changed. */
export class LoginRoleMissing extends Error {
  override name = 'LoginRoleMissing';
  constructor() {
    super('there is no such login role');
  }
}
