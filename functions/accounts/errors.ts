/** Some accounts could not be made to agree with the memberships; the task tries them again later. */
export class AccountsNotSettled extends AggregateError {
  override name = 'AccountsNotSettled';
  constructor(errors: readonly unknown[]) {
    super(errors, `${errors.length} accounts could not be brought in line with the memberships`);
  }
}
