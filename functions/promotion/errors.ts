/**
 * Errors of automatic promotion. `name` equals the class name and survives minification. `message` holds no tenant and
 * no host; `cause` has the details for operators and is only logged.
 */
export abstract class PromotionError extends Error {
  abstract override readonly name: string;
}

/** PROMOTION_POLICY is not valid. Nothing was decided. */
export class InvalidPromotionPolicy extends PromotionError {
  override readonly name = 'InvalidPromotionPolicy';
  constructor(options?: ErrorOptions) {
    super('PROMOTION_POLICY is not a valid policy.', options);
  }
}

/**
 * The move of a decision cannot start now. The `startMove` function that is passed to `evaluatePromotions` throws it;
 * the promotion is deferred with this reason, which may be shown to a client.
 */
export class PromotionRefused extends PromotionError {
  override readonly name = 'PromotionRefused';
  readonly rule: string;
  constructor(rule: string, reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.rule = rule;
  }
}

/** Some tenants were not measured, decided or notified; all others were. Running it again is safe. */
export class PromotionIncomplete extends PromotionError {
  override readonly name = 'PromotionIncomplete';
  constructor(what: string, options?: ErrorOptions) {
    super(`The daily promotion run is incomplete: ${what}.`, options);
  }
}
