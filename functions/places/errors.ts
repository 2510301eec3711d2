/**
 * Errors of making a place: credentials, a proxy's list, a dedicated database. Onboarding and moves share them. `name`
 * equals the class name and survives minification (the workflows' Retry and Catch import the classes), `message` may be
 * shown to a client, and `cause` has the details for operators and is only logged.
 */
export abstract class ProvisioningError extends Error {
  abstract override readonly name: string;
}

/** The secret of the tenant (or of the owner) does not have the form `{ username, password }` that Strata writes. */
export class TenantSecretInvalid extends ProvisioningError {
  override readonly name = 'TenantSecretInvalid';
  constructor(options?: ErrorOptions) {
    super('The stored credentials of the tenant are not usable.', options);
  }
}

/** CloudFormation could not create the dedicated database. Starting the same work again replaces the failed stack. */
export class DedicatedStackFailed extends ProvisioningError {
  override readonly name = 'DedicatedStackFailed';
  /** @param options `detail` ends the sentence "The dedicated database could not be created". */
  constructor({ detail = '', ...options }: ErrorOptions & { readonly detail?: string } = {}) {
    const end = detail === '' || detail.startsWith(',') ? detail : ` ${detail}`;
    super(`The dedicated database could not be created${end}.`, options);
  }
}

/** A quota of the AWS region leaves no room for another dedicated database; nothing was created. */
export class RegionQuotaExhausted extends ProvisioningError {
  override readonly name = 'RegionQuotaExhausted';
  /** @param shortage sentences that name each quota, such as "The region us-east-1 has 40 of 40 DB instances." */
  constructor(shortage: string) {
    super(`There is no room for a dedicated database. ${shortage}`);
  }
}

/** The other region's last deployment knew no sizes of dedicated databases; nothing was created. Deploy that region. */
export class SizeNotOffered extends ProvisioningError {
  override readonly name = 'SizeNotOffered';
  constructor(size: string) {
    super(`The region has no dedicated databases of size "${size}" before its next deployment.`);
  }
}

/** The dedicated database was not ready in time. Starting the same work again continues to wait for the same stack. */
export class DedicatedStackTimeout extends ProvisioningError {
  override readonly name = 'DedicatedStackTimeout';
  constructor() {
    super('The dedicated database was not ready in time.');
  }
}

/** The final snapshot of a dedicated database failed, so the database is kept. An operator must look at it. */
export class FinalSnapshotFailed extends ProvisioningError {
  override readonly name = 'FinalSnapshotFailed';
  constructor(snapshot: string) {
    super(`The final snapshot ${snapshot} of the dedicated database failed.`);
  }
}

/** The registry has no such cell. */
export class UnknownCell extends ProvisioningError {
  override readonly name = 'UnknownCell';
  constructor() {
    super('The cell is not known.');
  }
}

/** A proxy takes 200 secrets (AWS quota); the cell needs more. */
export class ProxySecretsExhausted extends ProvisioningError {
  override readonly name = 'ProxySecretsExhausted';
  constructor() {
    super('The proxy of the cell takes no more credentials.');
  }
}

/** Another session holds the proxy's lease, or the proxy is being modified. Transient. */
export class ProxyBusy extends ProvisioningError {
  override readonly name = 'ProxyBusy';
  constructor(options?: ErrorOptions) {
    super('The proxy of the cell is being changed by another operation.', options);
  }
}

/** The lease expired while the proxy was being changed: another change may have run at the same time. Transient. */
export class ProxyLeaseLost extends ProvisioningError {
  override readonly name = 'ProxyLeaseLost';
  constructor() {
    super('The lease on the proxy was lost while it was being changed.');
  }
}

/** The tenant's own credentials do not reach its data through the proxy yet. Transient. */
export class TenantUnreachable extends ProvisioningError {
  override readonly name = 'TenantUnreachable';
  constructor(options?: ErrorOptions) {
    super("The tenant's data could not be reached with its own credentials.", options);
  }
}

/** A service or database that a phase needs did not answer, or refused for the moment. Transient. */
export class DependencyUnavailable extends ProvisioningError {
  override readonly name = 'DependencyUnavailable';
  constructor(options?: ErrorOptions) {
    super('A service that this phase depends on is unavailable.', options);
  }
}
