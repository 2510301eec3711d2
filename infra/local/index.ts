/**
 * The local platform's interface for the rest of the project: everything outside of `infra/local/` imports this file
 * only. It loads little, because commands and `npm start` wait for it; `startPlatform` loads what a start runs.
 */
export type { IntrinsicScope } from './assembly/intrinsics.ts';
export type { Decision, Policies } from './aws/iam/evaluator.ts';
export type { PolicyDocument, Statement } from './aws/iam/policy-document.ts';
export type { ActionAuthorization } from './aws/iam/service-authorization.ts';
export type { Permission } from './aws/service.ts';
export type { ScheduleRun } from './aws/services/scheduler/schedule-runner.ts';
export type { ScheduleDefinition } from './aws/services/scheduler/schedules.ts';
export type { Tag } from './aws/tags.ts';
export type { Platform, PlatformOptions } from './boot-assembly.ts';
export { compileCache } from './compile-cache.ts';
export { requestDeployment } from './deployment-requests.ts';
export type { DeploymentOutcome } from './deployments.ts';
export {
  type IdentityDocument,
  identityDocumentName,
  readIdentity,
  signInFor,
} from './identity/read-identity.ts';
export { signToken, type TokenSubject } from './identity/sign-token.ts';
export {
  type ClusterServer,
  type ClusterSpec,
  type DeployedStack,
  LOCAL_ACCOUNT,
  type LocalResource,
  type PlatformContext,
  type ResourceFactory,
  type Template,
  type TemplateResource,
} from './model.ts';
export { startPlatform } from './platform.ts';
export { freePort } from './postgres/free-port.ts';
export type { LocalCertificates } from './postgres/local-certificates.ts';
export { overConnection } from './postgres/over-connection.ts';
export type { PostgresFiles } from './postgres/postgres-files.ts';
export { archiveBound } from './postgres/wal-archive.ts';
export { Progress, progressOf } from './progress.ts';
export { identifyProcess } from './state/process-identity.ts';
export { stateFile } from './state/state-file.ts';
export { synthesize } from './synthesize.ts';
export { valkeyProgram } from './valkey/valkey-program.ts';

/** The parts of the platform, for tests that combine some of them. */
export const internals = () => import('./internals.ts');
