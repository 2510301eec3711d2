/**
 * Errors of the partition upkeep. `name` equals the class name and survives minification: the workflow imports the
 * classes. `message` names no host and no tenant; the cause is only logged.
 */
export abstract class UpkeepError extends Error {
  abstract override readonly name: string;
}

/** Other sessions held locks on the tables for as long as the upkeep tried. Nothing was changed. */
export class TablesBusy extends UpkeepError {
  override readonly name = 'TablesBusy';
  constructor(options?: ErrorOptions) {
    super('Other sessions held the tables for too long.', options);
  }
}

/** Another run works on the same database. Nothing was changed; try again later. */
export class UpkeepRunning extends UpkeepError {
  override readonly name = 'UpkeepRunning';
  constructor() {
    super('Another run of the upkeep works on the same database.');
  }
}

/** A part of the upkeep of one database failed. The next run does it again. */
export class UpkeepFailed extends UpkeepError {
  override readonly name = 'UpkeepFailed';
  constructor(options?: ErrorOptions) {
    super('An internal error stopped the upkeep of a database.', options);
  }
}

/** How an execution ends when something was not done: a database, a table's partitions or a tenant's rows. */
export class UpkeepIncomplete extends UpkeepError {
  override readonly name = 'UpkeepIncomplete';
  constructor() {
    super('The upkeep could not be completed.');
  }
}

/** How an execution of `audit-chain` ends when a database or a tenant was left out. */
export class ChainsIncomplete extends UpkeepError {
  override readonly name = 'ChainsIncomplete';
  constructor() {
    super('Some audit logs could not be sealed or verified.');
  }
}
