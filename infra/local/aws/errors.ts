/** An error that is answered in the format of the caller's protocol. */
export class AwsError extends Error {
  /** The service's error code, e.g. `ResourceNotFoundException`. */
  readonly code: string;
  /** HTTP status. */
  readonly status: number;
  /** Further members of the modelled error. */
  readonly detail: Record<string, unknown>;

  constructor(
    code: string,
    message: string,
    options: { status?: number; detail?: Record<string, unknown> } = {},
  ) {
    super(message);
    this.name = code;
    this.code = code;
    this.status = options.status ?? 400;
    this.detail = options.detail ?? {};
  }
}

/** A resource handler's failure, in CloudFormation's words for stack events. */
export class ResourceFailure extends Error {
  override name = 'ResourceFailure';
}
