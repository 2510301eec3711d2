import { sessionTokenOf } from '../aws/function-network.ts';
import type { PlatformContext, ResourceFactory, ResourceRequest } from '../model.ts';
import type { FunctionDefinition, LambdaFunctions } from './lambda-functions.ts';

/** Factories of the AWS::Lambda types. */
export function functionResources(functions: LambdaFunctions): ResourceFactory[] {
  return [
    {
      type: 'AWS::Lambda::Function',
      async create(request, context) {
        const definition = functionDefinition(request, context);
        functions.define(definition);
        return { ref: definition.name, attributes: { Arn: definition.arn, FunctionArn: definition.arn } };
      },
      remove: ({ attributes }) => functions.remove(String(attributes.Arn)),
    },
    {
      type: 'AWS::Lambda::Version',
      async create({ properties, stack }, { account }) {
        const arn = `${functionArn(String(properties.FunctionName), stack.region, account)}:1`;
        return { ref: arn, attributes: { Version: '1', FunctionArn: arn } };
      },
    },
    {
      type: 'AWS::Lambda::Alias',
      async create({ properties, stack }, { account }) {
        const arn = `${functionArn(String(properties.FunctionName), stack.region, account)}:${String(properties.Name)}`;
        return { ref: arn, attributes: { AliasArn: arn } };
      },
    },
    // The gateway reads permissions from the stacks.
    {
      type: 'AWS::Lambda::Permission',
      create: async ({ defaultName }) => ({ ref: defaultName, attributes: {} }),
    },
  ];
}

function functionDefinition(request: ResourceRequest, context: PlatformContext): FunctionDefinition {
  const { properties, stack, defaultName } = request;
  const name = String(properties.FunctionName ?? defaultName);
  const arn = functionArn(name, stack.region, context.account);
  const handler = String(properties.Handler);
  const memoryMb = Number(properties.MemorySize ?? 128);
  const roleArn = String(properties.Role);
  const root = codeRoot(properties.Code, context);
  const { accessKeyId, secretAccessKey } = context.principals.accessKeyFor(roleArn);
  const logging = properties.LoggingConfig as { LogGroup?: string } | undefined;
  const logGroupName = logging?.LogGroup ?? `/aws/lambda/${name}`;
  const template =
    (properties.Environment as { Variables?: Record<string, unknown> } | undefined)?.Variables ?? {};
  const { SubnetIds: subnetIds = [] } = (properties.VpcConfig ?? {}) as { SubnetIds?: string[] };
  const concurrency = properties.ReservedConcurrentExecutions;
  return {
    name,
    arn,
    roleArn,
    root,
    handler,
    timeoutSeconds: Number(properties.Timeout ?? 3),
    memoryMb,
    logGroupName,
    subnetIds,
    ...(typeof concurrency === 'number' && { reservedConcurrency: concurrency }),
    variables: {
      PATH: '/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin',
      LANG: 'en_US.UTF-8',
      TZ: ':UTC',
      ...Object.fromEntries(Object.entries(template).map(([key, value]) => [key, String(value)])),
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionTokenOf(arn),
      AWS_REGION: stack.region,
      AWS_DEFAULT_REGION: stack.region,
      AWS_ENDPOINT_URL: context.awsUrl,
      // The user of this machine may have an AWS profile, which Lambda would not have.
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_EXECUTION_ENV: `AWS_Lambda_${String(properties.Runtime)}`,
      AWS_LAMBDA_FUNCTION_NAME: name,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(memoryMb),
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_LOG_GROUP_NAME: logGroupName,
      AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
      LAMBDA_TASK_ROOT: root,
      _HANDLER: handler,
    },
  };
}

function functionArn(nameOrArn: string, region: string, account: string): string {
  return nameOrArn.startsWith('arn:')
    ? nameOrArn
    : `arn:aws:lambda:${region}:${account}:function:${nameOrArn}`;
}

/** Inline code has no directory: such a function exists, and its invocation fails. */
function codeRoot(code: unknown, context: PlatformContext): string {
  const { S3Bucket, S3Key } = (code ?? {}) as { S3Bucket?: string; S3Key?: string };
  return S3Bucket && S3Key ? context.assets.path({ bucket: S3Bucket, key: S3Key }) : '/inline-code';
}
