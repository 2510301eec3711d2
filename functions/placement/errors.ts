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
