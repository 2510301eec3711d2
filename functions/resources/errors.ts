/** No such resource of this tenant. Another tenant's id is answered the same way. */
export class ResourceNotFound extends Error {
  override name: string = 'ResourceNotFound';
}

/** No tenant has the id or the slug that an operator names. */
export class TenantNotFound extends ResourceNotFound {
  override name = 'TenantNotFound';
  constructor(reference: string) {
    super(`There is no tenant "${reference}".`);
  }
}

/** The change contradicts what is stored: a taken unique value, or a resource that others still refer to. */
export class ResourceConflict extends Error {
  override name = 'ResourceConflict';
  readonly field: string | undefined;
  constructor(message: string, field?: string, options?: ErrorOptions) {
    super(message, options);
    this.field = field;
  }
}

/** Rules forbid the change; `issues` lists them. */
export class RulesForbid extends Error {
  override name = 'RulesForbid';
  readonly issues: readonly { readonly rule: string; readonly detail: string; readonly field?: string }[];
  constructor(message: string, issues: RulesForbid['issues']) {
    super(message);
    this.issues = issues;
  }
}

/** A field of the input refers to a resource that does not exist, or holds a value that the database refuses. */
export class InvalidReference extends Error {
  override name = 'InvalidReference';
  readonly field: string | undefined;
  constructor(message: string, field?: string, options?: ErrorOptions) {
    super(message, options);
    this.field = field;
  }
}

/** Values of the input contradict each other, or what is stored. `issues` names their places in the body. */
export class InvalidValues extends Error {
  override name = 'InvalidValues';
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
  constructor(issues: InvalidValues['issues']) {
    super('values are not valid');
    this.issues = issues;
  }
}

/** `If-Match` names another version than the stored one. */
export class VersionMismatch extends Error {
  override name = 'VersionMismatch';
}

/** The `Idempotency-Key` was used before, with another request. */
export class IdempotencyKeyReused extends Error {
  override name = 'IdempotencyKeyReused';
}

/** The cursor was not made by this listing. */
export class InvalidCursor extends Error {
  override name = 'InvalidCursor';
}

/** The registry of another region does not answer, so that a list of all regions would have a gap. */
export class RegionUnavailable extends Error {
  override name = 'RegionUnavailable';
  /** Key of the region, such as `eu`. */
  readonly region: string;
  constructor(region: string, options?: ErrorOptions) {
    super(`the registry of region ${region} does not answer`, options);
    this.region = region;
  }
}

/** A move is taking the tenant from one region to another, and neither serves it at this moment. Try again. */
export class TenantBetweenRegions extends Error {
  override name = 'TenantBetweenRegions';
}

/** A document, as a change would leave it, is larger than what is stored. */
export class DocumentTooLarge extends Error {
  override name = 'DocumentTooLarge';
  /** The document's name in JSON. */
  readonly field: string;
  /** In KB. */
  readonly limit: number;
  constructor(field: string, limit: number) {
    super(`${field} would be larger than ${limit} KB`);
    this.field = field;
    this.limit = limit;
  }
}
