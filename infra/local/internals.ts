/** What `internals()` of the index loads. */
export { readCloudAssembly } from './assembly/cloud-assembly.ts';
export { conditionHolds, resolveIntrinsics } from './assembly/intrinsics.ts';
export { passiveResourceTypes } from './assembly/passive-resource-types.ts';
export { referencesOf } from './assembly/resource-order.ts';
export { stackScope } from './assembly/stack-scope.ts';
export { TemplateDeployer } from './assembly/template-deployer.ts';
export { createAwsEndpoint } from './aws/create-aws-endpoint.ts';
export { conditionContext } from './aws/iam/conditions.ts';
export { evaluate } from './aws/iam/evaluator.ts';
export { authorizationOf, hasConditionKey, resourceTypeOf } from './aws/iam/service-authorization.ts';
export { HANDLER_PERMISSIONS } from './aws/services/cloudformation/handler-permissions.ts';
export { matchesPattern, parsePattern } from './aws/services/events/event-pattern.ts';
export { parseSql } from './aws/services/rds-data/sql-statement.ts';
export { nextDue, parseScheduleExpression } from './aws/services/scheduler/schedule-expression.ts';
export { ScheduleRunner } from './aws/services/scheduler/schedule-runner.ts';
export { Schedules } from './aws/services/scheduler/schedules.ts';
export { ExecutionStore } from './aws/services/states/execution-store.ts';
export { requestTags, resourceTags } from './aws/tags.ts';
export { JwtAuthorizer } from './gateway/jwt-authorizer.ts';
export { RegionalGateways } from './gateway/regional-gateways.ts';
export { LambdaFunctions } from './lambda/lambda-functions.ts';
export { ClusterDirectories } from './postgres/cluster-directories.ts';
export {
  configureDataDirectory,
  dataDirectory,
  initializeDataDirectory,
  superuserName,
} from './postgres/data-directory.ts';
export { localCertificates } from './postgres/local-certificates.ts';
export { provisionMasterUser } from './postgres/master-user.ts';
export { PostgresClusters } from './postgres/postgres-clusters.ts';
export { preparePostgresFiles, removeOutsideFiles } from './postgres/postgres-files.ts';
export { startServer, stopStaleServer } from './postgres/server-process.ts';
export { WalArchive } from './postgres/wal-archive.ts';
export { localPrincipals } from './principals.ts';
export { claimStateDirectory, prepareStateDirectory } from './state/state-directory.ts';
export { LocalCaches } from './valkey/cache-resources.ts';
export { startValkey, type ValkeyServer } from './valkey/valkey-server.ts';
