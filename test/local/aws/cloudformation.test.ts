import {
  CloudFormationClient,
  CreateStackCommand,
  type CreateStackCommandInput,
  DeleteStackCommand,
  DescribeStackEventsCommand,
  DescribeStackResourcesCommand,
  DescribeStacksCommand,
  GetTemplateCommand,
  ListStacksCommand,
  UpdateTerminationProtectionCommand,
} from '@aws-sdk/client-cloudformation';
import { DescribeDBProxiesCommand, ModifyDBProxyCommand, RDSClient } from '@aws-sdk/client-rds';
import { ExecuteStatementCommand, RDSDataClient } from '@aws-sdk/client-rds-data';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TEMPLATE_URL } from './assembly.ts';
import { databaseTemplate, launchingStack, roleArn } from './database-stack.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

let fixture: EndpointFixture;
let client: CloudFormationClient;

beforeAll(async () => {
  fixture = await startEndpoint([launchingStack], databaseTemplate);
  client = new CloudFormationClient(fixture.client());
}, 60_000);

afterAll(() => fixture?.stop());

function createStack(name: string, input: Partial<CreateStackCommandInput> = {}, as = client) {
  const Parameters = Object.entries({
    Identifier: name,
    SecretName: `${name}/master`,
    ProxyRoleArn: roleArn('ProxyRole'),
  }).map(([ParameterKey, ParameterValue]) => ({ ParameterKey, ParameterValue }));
  const TemplateURL = input.TemplateBody ? undefined : TEMPLATE_URL;
  return as.send(new CreateStackCommand({ StackName: name, TemplateURL, Parameters, ...input }));
}

const body = (resources: Record<string, unknown>, parameters = {}) => ({
  TemplateBody: JSON.stringify({ Parameters: parameters, Resources: resources }),
  Parameters: [],
});

async function describeStack(StackName: string) {
  return (await client.send(new DescribeStacksCommand({ StackName }))).Stacks![0]!;
}

async function settled(name: string) {
  await expect
    .poll(async () => (await describeStack(name)).StackStatus, { timeout: 30_000, interval: 50 })
    .not.toMatch(/IN_PROGRESS$/);
  return describeStack(name);
}

const outputsOf = (stack: Awaited<ReturnType<typeof describeStack>>) =>
  Object.fromEntries((stack.Outputs ?? []).map((one) => [one.OutputKey, one.OutputValue]));

describe('a stack of a database', () => {
  test('is created by its service role, works, survives a restart, and is deleted', async () => {
    const launcher = new CloudFormationClient(fixture.client('Launcher'));
    const input = {
      RoleARN: roleArn('DeployRole'),
      ClientRequestToken: 'token-1',
      Tags: [{ Key: 'strata:tenant-id', Value: 't1' }],
    };
    const { StackId } = await createStack('strata-tenant-one', input, launcher);
    expect((await createStack('strata-tenant-one', input, launcher)).StackId).toBe(StackId);
    expect((await describeStack('strata-tenant-one')).StackStatus).toBe('CREATE_IN_PROGRESS');
    const stack = await settled(StackId!);
    expect(stack).toMatchObject({
      StackStatus: 'CREATE_COMPLETE',
      Description: 'One database',
      RoleARN: roleArn('DeployRole'),
      Tags: [{ Key: 'strata:tenant-id', Value: 't1' }],
    });
    const outputs = outputsOf(stack);
    expect(outputs.Port).toMatch(/^\d+$/);
    const query = () =>
      new RDSDataClient(fixture.client()).send(
        new ExecuteStatementCommand({
          resourceArn: outputs.ClusterArn!,
          secretArn: outputs.SecretArn!,
          database: 'strata',
          sql: 'SELECT current_user',
        }),
      );
    expect((await query()).records).toEqual([[{ stringValue: 'strata_master' }]]);
    const { StackResources } = await client.send(
      new DescribeStackResourcesCommand({ StackName: 'strata-tenant-one' }),
    );
    expect(StackResources).toContainEqual(
      expect.objectContaining({ LogicalResourceId: 'Cluster', ResourceStatus: 'CREATE_COMPLETE' }),
    );

    // A secret registered with the proxy later.
    const auth = [{ AuthScheme: 'SECRETS' as const, SecretArn: 'arn:later' }];
    await new RDSClient(fixture.client()).send(
      new ModifyDBProxyCommand({ DBProxyName: 'strata-tenant-one', Auth: auth }),
    );
    await fixture.restart();
    client = new CloudFormationClient(fixture.client());
    const again = await describeStack('strata-tenant-one');
    expect(again).toMatchObject({ StackId, StackStatus: 'CREATE_COMPLETE' });
    expect(outputsOf(again)).toEqual(outputs);
    expect((await query()).records).toEqual([[{ stringValue: 'strata_master' }]]);
    const { DBProxies } = await new RDSClient(fixture.client()).send(
      new DescribeDBProxiesCommand({ DBProxyName: 'strata-tenant-one' }),
    );
    expect(DBProxies![0]!.Auth).toMatchObject([{ SecretArn: 'arn:later' }]);

    await client.send(
      new UpdateTerminationProtectionCommand({
        StackName: 'strata-tenant-one',
        EnableTerminationProtection: true,
      }),
    );
    const remove = () => client.send(new DeleteStackCommand({ StackName: 'strata-tenant-one' }));
    await expect(remove()).rejects.toThrow('TerminationProtection');
    await client.send(
      new UpdateTerminationProtectionCommand({
        StackName: 'strata-tenant-one',
        EnableTerminationProtection: false,
      }),
    );
    await remove();
    expect(await settled(StackId!)).toMatchObject({ StackStatus: 'DELETE_COMPLETE' });
    await expect(describeStack('strata-tenant-one')).rejects.toMatchObject({
      name: 'ValidationError',
      message: 'Stack with id strata-tenant-one does not exist',
    });
    await expect(query()).rejects.toMatchObject({ name: 'NotFoundException' });
    // Retained by its deletion policy.
    const secrets = new SecretsManagerClient(fixture.client());
    await secrets.send(new GetSecretValueCommand({ SecretId: outputs.SecretArn! }));
  });

  test('is rolled back when its service role may not make a resource', async () => {
    await createStack('strata-tenant-two', {
      RoleARN: roleArn('WeakDeployRole'),
      RetainExceptOnCreate: true,
    });
    const stack = await settled('strata-tenant-two');
    expect(stack.StackStatus).toBe('ROLLBACK_COMPLETE');
    const { StackEvents } = await client.send(
      new DescribeStackEventsCommand({ StackName: 'strata-tenant-two' }),
    );
    const failure = StackEvents!.find(
      (event) => event.LogicalResourceId === 'Cluster' && event.ResourceStatus === 'CREATE_FAILED',
    );
    expect(failure!.ResourceStatusReason).toContain('is not authorized to perform: rds:CreateDBCluster');
    expect(StackEvents!.map((event) => event.ResourceStatus)).toContain('ROLLBACK_IN_PROGRESS');
    // RetainExceptOnCreate: the secret's name is free for the next attempt.
    await expect(
      new SecretsManagerClient(fixture.client()).send(
        new GetSecretValueCommand({ SecretId: 'strata-tenant-two/master' }),
      ),
    ).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
    await expect(createStack('strata-tenant-two')).rejects.toMatchObject({ name: 'AlreadyExistsException' });
    await client.send(new DeleteStackCommand({ StackName: stack.StackId! }));
    expect(await settled(stack.StackId!)).toMatchObject({ StackStatus: 'DELETE_COMPLETE' });
  });

  test('is finished at the next start when the platform ended while it was created', async () => {
    const { StackId } = await createStack('strata-tenant-three', { RoleARN: roleArn('DeployRole') });
    await fixture.restart();
    client = new CloudFormationClient(fixture.client());
    const stack = await settled('strata-tenant-three');
    expect(stack).toMatchObject({ StackId, StackStatus: 'CREATE_COMPLETE' });
    expect(outputsOf(stack).ClusterArn).toContain(':cluster:strata-tenant-three');
  });
});

describe('a rollback', () => {
  const secret = (name: string) => ({
    Type: 'AWS::SecretsManager::Secret',
    DeletionPolicy: 'Retain',
    Properties: { Name: name, SecretString: 'x' },
  });
  const bad = { Type: 'AWS::RDS::DBCluster', DependsOn: 'Secret', Properties: {} };

  test('retains what the template says, unless told otherwise', async () => {
    await createStack('rolled-back', body({ Secret: secret('kept'), Bad: bad }));
    expect(await settled('rolled-back')).toMatchObject({ StackStatus: 'ROLLBACK_COMPLETE' });
    await new SecretsManagerClient(fixture.client()).send(new GetSecretValueCommand({ SecretId: 'kept' }));
    await createStack('rolled-back-2', body({ Secret: secret('kept') }));
    expect(await settled('rolled-back-2')).toMatchObject({ StackStatus: 'ROLLBACK_COMPLETE' });
  });

  test('can be declined', async () => {
    await createStack('left-alone', {
      ...body({ Secret: secret('left'), Bad: bad }),
      OnFailure: 'DO_NOTHING',
    });
    expect(await settled('left-alone')).toMatchObject({
      StackStatus: 'CREATE_FAILED',
      StackStatusReason: 'The following resource(s) failed to create: [Bad].',
    });
  });
});

describe('requests', () => {
  const invalid = (message: string) => ({
    name: 'ValidationError',
    message: expect.stringContaining(message),
  });

  test('are checked before anything happens', async () => {
    await expect(createStack('1st')).rejects.toMatchObject(invalid('stackName'));
    await expect(createStack('no-parameters', { Parameters: [] })).rejects.toMatchObject(
      invalid('Parameters: [Identifier, SecretName, ProxyRoleArn] must have values'),
    );
    const parameters = [{ ParameterKey: 'Odd', ParameterValue: '1' }];
    await expect(createStack('odd', { Parameters: parameters })).rejects.toMatchObject(
      invalid('Parameters: [Odd] do not exist in the template'),
    );
    await expect(createStack('bad', { TemplateBody: '{' })).rejects.toMatchObject(invalid('not well-formed'));
    await expect(
      createStack('url', { TemplateURL: TEMPLATE_URL.replace('run-time', 'other') }),
    ).rejects.toMatchObject(invalid('S3 error'));
    await expect(
      createStack('iam', body({ Role: { Type: 'AWS::IAM::Role', Properties: {} } })),
    ).rejects.toMatchObject({ name: 'InsufficientCapabilitiesException' });
    const { StackSummaries } = await client.send(new ListStacksCommand({}));
    expect(StackSummaries!.map(({ StackName }) => StackName)).not.toContain('odd');
  });

  test('need the caller’s rights: on the stack, the role and the template', async () => {
    const launcher = new CloudFormationClient(fixture.client('Launcher'));
    const denied = (action: string) => ({
      name: 'AccessDenied',
      message: expect.stringContaining(`is not authorized to perform: ${action} on resource`),
    });
    const RoleARN = roleArn('DeployRole');
    await expect(createStack('other-name', { RoleARN }, launcher)).rejects.toMatchObject(
      denied('cloudformation:CreateStack'),
    );
    await expect(
      createStack('strata-tenant-x', { RoleARN: roleArn('WeakDeployRole') }, launcher),
    ).rejects.toMatchObject(denied('iam:PassRole'));
    const other = new CloudFormationClient(fixture.client('LauncherWithoutTemplate'));
    await expect(createStack('strata-tenant-x', { RoleARN }, other)).rejects.toMatchObject(
      denied('s3:GetObject'),
    );
  });

  test('about the assembly’s own stacks are answered', async () => {
    const stack = await describeStack('Home');
    expect(stack).toMatchObject({ StackStatus: 'CREATE_COMPLETE' });
    expect(outputsOf(stack)).toEqual({ Role: roleArn('ProxyRole') });
    const { TemplateBody } = await client.send(new GetTemplateCommand({ StackName: 'Home' }));
    expect(JSON.parse(TemplateBody!).Resources).toHaveProperty('ProxyRole');
    await expect(client.send(new DeleteStackCommand({ StackName: 'Home' }))).rejects.toThrow();
    await client.send(new DeleteStackCommand({ StackName: 'never-was' }));
  });
});
