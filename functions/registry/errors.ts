/** PostgreSQL refused a registry statement. `sqlState` is its five-character code, when the Data API reported it. */
export class RegistryError extends Error {
  override name = 'RegistryError';
  readonly sqlState: string | undefined;
  constructor(message: string, sqlState: string | undefined, options?: ErrorOptions) {
    super(message, options);
    this.sqlState = sqlState;
  }
}

/** The configuration of this function has no region of that key. */
export class UnknownRegion extends Error {
  override name = 'UnknownRegion';
  constructor(regionKey: string) {
    super(`the region ${JSON.stringify(regionKey)} is not known`);
  }
}

/** No deployment has written prices to this registry yet. */
export class NoPrices extends Error {
  override name = 'NoPrices';
  constructor() {
    super('The region has no price table yet. Deploy it again.');
  }
}
