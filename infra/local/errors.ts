/**
 * A failure that the user can fix: its message is one complete line, and its stack trace is not useful. `startPlatform`
 * rejects only with these for bad input or a bad machine.
 */
export class PlatformError extends Error {
  override name = 'PlatformError';
}

/** Another platform runs in the same state directory. */
export class AlreadyRunning extends PlatformError {
  override name = 'AlreadyRunning';
}

/** A public port is taken. */
export class PortBusy extends PlatformError {
  override name = 'PortBusy';

  constructor(port: number, variable: string) {
    super(`port ${port} is busy: stop what listens there or choose another with ${variable}`);
  }
}

/** The state directory has content that this platform did not write or cannot read. */
export class CorruptState extends PlatformError {
  override name = 'CorruptState';
}

/** The CDK app did not synthesize, or its output is not a cloud assembly. */
export class AssemblyError extends PlatformError {
  override name = 'AssemblyError';
}

/** The assembly lacks a stack whose databases, with their data, belong to the state. */
export class DatabaseStackMissing extends PlatformError {
  override name = 'DatabaseStackMissing';

  constructor(stack: string) {
    super(
      `the app has no stack ${stack}, whose databases are in this state: give it the same configuration and variables as before (STRATA_CELLS, STRATA_REGIONS), or start over with --fresh`,
    );
  }
}

/** A resource of a stack could not be created. */
export class DeployError extends PlatformError {
  override name = 'DeployError';
}

/** The platform deploys one assembly at a time. */
export class DeploymentRunning extends PlatformError {
  override name = 'DeploymentRunning';
}

/** No file asset of the assembly has that bucket key or URL. */
export class AssetNotFound extends PlatformError {
  override name = 'AssetNotFound';
}

/** No deployed Lambda function has that name or ARN. */
export class FunctionNotFound extends PlatformError {
  override name = 'FunctionNotFound';
}

/** A PostgreSQL server could not be initialized, started or stopped. */
export class PostgresError extends PlatformError {
  override name = 'PostgresError';
}

/** The first line of any thrown value, for embedding in a {@link PlatformError}. */
export function reasonOf(cause: unknown): string {
  const text = cause instanceof Error ? cause.message || cause.name : String(cause);
  return text.split('\n', 1)[0] ?? text;
}

/** The `code` of a system error (`ENOENT`, `EADDRINUSE`), if it is one. */
export function systemCode(cause: unknown): string | undefined {
  const code = (cause as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}
