/**
 * Errors of automatic promotion. `name` equals the class name and survives minification. `message` holds nothing of
 * tenants or hosts; what an operator needs besides travels in `cause`, which is only logged.
 */
export abstract class PromotionError extends Error {
  abstract override readonly name: string;
}

/** PROMOTION_POLICY is no policy. Nothing was decided. */
export class InvalidPromotionPolicy extends PromotionError {
  override readonly name = 'InvalidPromotionPolicy';
  constructor(options?: ErrorOptions) {
    super('PROMOTION_POLICY is not a valid policy.', options);
  }
}

/**
 * The move that a decision asks for cannot start now. Whoever starts moves for `evaluatePromotions` throws it, and the
 * promotion is put off with the reason, which is fit for a client.
 */
export class PromotionRefused extends PromotionError {
  override readonly name = 'PromotionRefused';
  readonly rule: string;
  constructor(rule: string, reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.rule = rule;
  }
}

/** Some tenants were not measured, decided upon or notified; all others were. Running it again is safe. */
export class PromotionIncomplete extends PromotionError {
  override readonly name = 'PromotionIncomplete';
  constructor(what: string, options?: ErrorOptions) {
    super(`The daily promotion run is incomplete: ${what}.`, options);
  }
}
