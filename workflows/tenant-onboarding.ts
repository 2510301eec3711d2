/**
 * `tenant-onboarding`: from an operator's input to a tenant that serves requests.
 *
 * Every task is one function in functions/tasks/, and may run any number of times: the registry, and the resources
 * themselves, say what is done. An execution that was stopped is resumed by starting another with the same input.
 *
 * What each task function needs. All: REGISTRY_CLUSTER_ARN, REGISTRY_SECRET_ARN (writer), REGISTRY_DATABASE;
 * rds-data:{ExecuteStatement,BeginTransaction,CommitTransaction,RollbackTransaction} on the registry cluster,
 * secretsmanager:GetSecretValue on the writer secret, kms:Decrypt on its key.
 *
 * | task entry                       | VPC | timeout | environment besides          | IAM besides |
 * |----------------------------------|-----|---------|------------------------------|-------------|
 * | onboarding-register              | no  | 30 s    |                              |             |
 * | onboarding-credentials           | no  | 30 s    | SECRETS_KMS_KEY_ARN          | secretsmanager:{CreateSecret,TagResource,DescribeSecret,GetSecretValue,RestoreSecret} on strata/tenant/*; kms:{GenerateDataKey,Decrypt} |
 * | onboarding-dedicated-stack       | no  | 30 s    | DEDICATED_TEMPLATE_URL, DEDICATED_PARAMETERS (JSON object: every template parameter that is not the tenant's own), CLOUDFORMATION_ROLE_ARN | cloudformation:{CreateStack,DescribeStacks,DescribeStackEvents,DeleteStack,TagResource} on stack/strata-tenant-*; iam:PassRole on that role (iam:PassedToService cloudformation.amazonaws.com); s3:GetObject on the template asset |
 * | onboarding-bootstrap-dedicated   | yes | 60 s    |                              | secretsmanager:GetSecretValue on strata/dedicated/*; kms:Decrypt |
 * | onboarding-schema                | yes | 60 s    |                              | secretsmanager:GetSecretValue on strata/<cell>/owner, strata/dedicated/*, strata/tenant/*; kms:Decrypt |
 * | onboarding-proxy-auth            | no  | 120 s   |                              | rds:{DescribeDBProxies,ModifyDBProxy} on the cells' proxies |
 * | onboarding-place                 | yes | 30 s    |                              | secretsmanager:GetSecretValue on strata/<cell>/owner, strata/dedicated/*; kms:Decrypt |
 * | onboarding-verify                | yes | 30 s    |                              | secretsmanager:GetSecretValue on strata/<cell>/starter, strata/tenant/*; kms:Decrypt |
 * | onboarding-activate              | no  | 30 s    |                              |             |
 * | onboarding-fail                  | no  | 30 s    |                              |             |
 * | reconcile-proxy-auth (no step: Custom::StrataProxyAuth, and a schedule, 15 min) | no | 300 s | | rds:{DescribeDBProxies,ModifyDBProxy} on the cells' proxies |
 *
 * The owner and master secrets of a dedicated database are named strata/dedicated/<tenantId>/{owner,master}, outside
 * of strata/tenant/*, which the request path may read. DedicatedDatabaseStack takes these names as parameters
 * (OwnerSecretName, MasterSecretName; SecretName is strata/tenant/<tenantId>/<roleName>). Its resources must not keep
 * a create-time rollback from deleting them (RETAIN_ON_UPDATE_OR_DELETE, i.e. RetainExceptOnCreate): a failed stack is
 * deleted and launched again under the same names.
 */
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';

export interface TenantOnboardingProps {
  /** The task functions; key `x` is the entry `onboarding-x` in kebab-case. */
  tasks: {
    register: IFunction;
    credentials: IFunction;
    dedicatedStack: IFunction;
    bootstrapDedicated: IFunction;
    schema: IFunction;
    proxyAuth: IFunction;
    place: IFunction;
    verify: IFunction;
    activate: IFunction;
    fail: IFunction;
  };
  /** Where the state machine logs; the caller decides retention and removal. */
  logGroup: ILogGroup;
}
