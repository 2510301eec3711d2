/**
 * A stored encrypted value cannot be opened: it was altered, or it was made for another tenant, row or column. Nothing of
 * it is shown. An operator has to find out why (docs/encryption.md).
 */
export class EncryptedValueDamaged extends Error {
  override readonly name = 'EncryptedValueDamaged';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
