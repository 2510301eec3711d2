/** The tenant has no placement in the registry: it was never onboarded whole, or it is gone. */
export class NotPlaced extends Error {
  override name = 'NotPlaced';
}

/** The tenant could not be served within the time a request may wait. Nothing was committed; try again later. */
export class TenantUnavailable extends Error {
  override name = 'TenantUnavailable';
  /** Seconds after which a retry is worth it. */
  readonly retryAfter: number;
  constructor(message: string, retryAfter: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfter = retryAfter;
  }
}

/** No active cell of that residency takes another tenant of that tier. The message is fit for a client. */
export class NoCellCapacity extends Error {
  override name = 'NoCellCapacity';
  constructor(tier: string, dataResidency: string) {
    super(`No cell with data residency "${dataResidency}" has room for another ${tier} tenant.`);
  }
}
