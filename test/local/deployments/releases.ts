/** Two releases of a small app, to be deployed one onto the other. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { App, CfnResource, CustomResource, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { HttpApi, HttpMethod } from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { Rule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as InvokeFunction } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { CfnDBProxy } from 'aws-cdk-lib/aws-rds';
import { CfnSchedule } from 'aws-cdk-lib/aws-scheduler';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { DefinitionBody, Pass, Result, StateMachine } from 'aws-cdk-lib/aws-stepfunctions';

export interface Release {
  name: string;
  /** The custom resource whose handler answers FAILED to this release's properties. */
  failing?: 'First' | 'Second';
  /** Whether the function may list secrets. */
  mayListSecrets?: boolean;
  /** A path that this release has beside `/release` and `/slow`. */
  path?: string;
  /** Of the proxy's tag. */
  tag?: string;
  /** A custom resource of this release only, with its policy; the second one depends on it. */
  third?: RemovalPolicy;
}

/**
 * Synthesizes a release of the app into a new directory below `directory`.
 * @param record file to which the custom resources' handler appends each of its events, with the release of its code;
 *   while there is a file of that name with `.broken` behind it, the handler answers FAILED; in the one with `.told` are
 *   the stacks and statuses that a rule was told of
 * @returns the assembly's directory
 */
export function synthesizeRelease(directory: string, record: string, release: Release): string {
  const { name, failing, mayListSecrets, path, tag = 'same', third } = release;
  const outdir = join(directory, `${name}-${Object.values(release).join('-').replaceAll('/', '')}`);
  const code = join(directory, `code-${name}`);
  mkdirSync(code, { recursive: true });
  writeFileSync(join(code, 'handler.mjs'), handlers(name, record));
  const app = new App({
    outdir,
    analyticsReporting: false,
    treeMetadata: false,
    // The tests of our own templates validate; here, compiling the validator would take longer than all else.
    builtinCloudFormationValidation: false,
  });
  const stack = new Stack(app, 'Shop', { env: { region: 'us-east-1' } });
  const common = {
    runtime: Runtime.NODEJS_24_X,
    code: Code.fromAsset(code),
    timeout: Duration.seconds(20),
  };
  const main = new LambdaFunction(stack, 'Main', {
    ...common,
    handler: 'handler.handler',
    environment: { RELEASE: name },
  });
  if (mayListSecrets) {
    main.addToRolePolicy(new PolicyStatement({ actions: ['secretsmanager:ListSecrets'], resources: ['*'] }));
  }
  const api = new HttpApi(stack, 'HttpApi');
  const integration = new HttpLambdaIntegration('Integration', main);
  for (const one of ['/release', '/slow', '/secrets', ...(path ? [path] : [])]) {
    api.addRoutes({ path: one, methods: [HttpMethod.GET], integration });
  }
  new StateMachine(stack, 'Machine', {
    stateMachineName: 'machine',
    definitionBody: DefinitionBody.fromChainable(
      new Pass(stack, 'Tell', { result: Result.fromObject({ release: name }) }),
    ),
  });
  const scheduler = new Role(stack, 'Scheduler', {
    assumedBy: new ServicePrincipal('scheduler.amazonaws.com'),
  });
  new CfnSchedule(stack, 'Schedule', {
    name: 'nightly',
    scheduleExpression: 'rate(1 day)',
    flexibleTimeWindow: { mode: 'OFF' },
    target: {
      arn: main.functionArn,
      roleArn: scheduler.roleArn,
      input: JSON.stringify({ release: name }),
    },
  });
  const starter = new Secret(stack, 'Starter', { secretName: 'starter' });
  const proxy = new CfnDBProxy(stack, 'Proxy', {
    dbProxyName: 'proxy',
    engineFamily: 'POSTGRESQL',
    roleArn: scheduler.roleArn,
    vpcSubnetIds: ['subnet-1', 'subnet-2'],
    auth: [{ authScheme: 'SECRETS', secretArn: starter.secretArn }],
    tags: [{ key: 'tag', value: tag }],
  });
  const told = new LambdaFunction(stack, 'Told', { ...common, handler: 'handler.told' });
  new Rule(stack, 'Deployed', {
    eventPattern: {
      source: ['aws.cloudformation'],
      detailType: ['CloudFormation Stack Status Change'],
    },
    targets: [new InvokeFunction(told)],
  });
  const service = new LambdaFunction(stack, 'Service', { ...common, handler: 'handler.customResource' });
  const resource = (id: string, removalPolicy = RemovalPolicy.DESTROY) =>
    new CustomResource(stack, id, {
      removalPolicy,
      resourceType: 'Custom::Thing',
      serviceToken: service.functionArn,
      properties: { Release: name, Fail: failing === id },
    });
  const first = resource('First');
  first.node.addDependency(proxy, main);
  const second = resource('Second');
  second.node.addDependency(first);
  if (third) second.node.addDependency(resource('Third', third));
  new CfnResource(stack, 'Unchanged', { type: 'AWS::SNS::Topic', properties: { TopicName: 'topic' } });
  return app.synth().directory;
}

/** As deployed bundles are: plain JavaScript. */
const handlers = (name: string, record: string) => `
import { appendFileSync, existsSync } from 'node:fs';
const record = ${JSON.stringify(record)};
const code = ${JSON.stringify(name)};

export async function handler(event) {
  if (event.routeKey === 'GET /slow') await new Promise((resolve) => setTimeout(resolve, 1_000));
  const body = { code, release: process.env.RELEASE };
  if (event.routeKey === 'GET /secrets') body.status = await listSecrets();
  return { statusCode: 200, body: JSON.stringify(body) };
}

async function listSecrets() {
  const credential = process.env.AWS_ACCESS_KEY_ID + '/20260101/us-east-1/secretsmanager/aws4_request';
  const { status } = await fetch(process.env.AWS_ENDPOINT_URL, {
    method: 'POST',
    headers: {
      authorization: 'AWS4-HMAC-SHA256 Credential=' + credential + ', SignedHeaders=host, Signature=0',
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'secretsmanager.ListSecrets',
    },
    body: '{}',
  });
  return status;
}

export async function told({ detail }) {
  const [, stack] = detail['stack-id'].split('/');
  appendFileSync(record + '.told', stack + ' ' + detail['status-details'].status + '\\n');
}

export async function customResource(event) {
  const { RequestType, LogicalResourceId, PhysicalResourceId, ResourceProperties, OldResourceProperties } = event;
  appendFileSync(record, JSON.stringify({
    code, type: RequestType, id: LogicalResourceId, physicalId: PhysicalResourceId,
    release: ResourceProperties.Release, old: OldResourceProperties?.Release,
  }) + '\\n');
  const fails = (ResourceProperties.Fail === 'true' && RequestType !== 'Delete') || existsSync(record + '.broken');
  await fetch(event.ResponseURL, {
    method: 'PUT',
    body: JSON.stringify({
      Status: fails ? 'FAILED' : 'SUCCESS',
      Reason: 'it was asked to fail',
      PhysicalResourceId: 'thing-' + LogicalResourceId,
    }),
  });
}
`;
