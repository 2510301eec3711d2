/**
 * Errors of alerts. `name` equals the class name and survives minification. `message` names no host and no tenant; the
 * cause has the details for operators and is only logged.
 */
export abstract class AlertError extends Error {
  abstract override readonly name: string;
}

/** The survey function could not be run. Alerts about databases and tenants keep their state. */
export class SurveyFailed extends AlertError {
  override readonly name = 'SurveyFailed';
  constructor(options?: ErrorOptions) {
    super('The databases could not be surveyed.', options);
  }
}

/** Some rules or messages failed; the others were evaluated. The next run does it again. */
export class AlertsIncomplete extends AlertError {
  override readonly name = 'AlertsIncomplete';
  constructor(what: string, options?: ErrorOptions) {
    super(`Alerts were not evaluated completely: ${what}.`, options);
  }
}
