/**
 * Errors of AWS resources that several features use. `name` equals the class name and survives minification (workflows'
 * Retry and Catch import the classes), `message` is fit for a client, and what an operator needs besides travels in
 * `cause`, which is logged and never shown.
 */
import type { RestorableWindow } from './database-clusters.ts';

/** The cluster cannot be restored to that time; nothing was made. */
export class TimeNotRestorable extends Error {
  override readonly name = 'TimeNotRestorable';
  /** Undefined where the cluster cannot be restored at all. */
  readonly window: RestorableWindow | undefined;

  constructor(window: RestorableWindow | undefined, options?: ErrorOptions) {
    const limits =
      window && ` Times from ${window.earliest.toISOString()} to ${window.latest.toISOString()} can be.`;
    super(`The database cannot be restored to that time.${limits ?? ''}`, options);
    this.window = window;
  }
}

/** A query of the log gave no result. It may be repeated. */
export class LogQueryFailed extends Error {
  override readonly name = 'LogQueryFailed';
  constructor(why: string) {
    super(`The log could not be queried: ${why}.`);
  }
}

/** RDS could not restore the side cluster. After `removeSideCluster`, the same work may be started again. */
export class SideClusterFailed extends Error {
  override readonly name = 'SideClusterFailed';
  constructor(options?: ErrorOptions) {
    super('The database could not be restored to that time.', options);
  }
}

/** A cluster of that name is not this restore's: it is neither used nor deleted. Needs a person. */
export class SideClusterTaken extends Error {
  override readonly name = 'SideClusterTaken';
  constructor(options?: ErrorOptions) {
    super('The name of the restored database is taken.', options);
  }
}

/** KMS does not answer, or does not let us use the key now: it is disabled, or its use is denied. Try again later. */
export class KeyUnavailable extends Error {
  override readonly name = 'KeyUnavailable';
  constructor(options?: ErrorOptions) {
    super('The key cannot be used at this moment.', options);
  }
}

/** KMS did not make this wrapped data key, or made it for another tenant. */
export class WrappedKeyInvalid extends Error {
  override readonly name = 'WrappedKeyInvalid';
  constructor(options?: ErrorOptions) {
    super('The wrapped data key is not one of the tenant.', options);
  }
}
