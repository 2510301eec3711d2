import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import {
  DescribeDBClustersCommand,
  DescribeDBProxiesCommand,
  DescribeDBProxyTargetsCommand,
  ModifyDBProxyCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';
import { servicesStack } from './services-stack.ts';

let fixture: EndpointFixture;

beforeAll(async () => {
  fixture = await startEndpoint([servicesStack]);
});

afterAll(() => fixture?.stop());

describe('a request to the endpoint', () => {
  /** Lists the secrets as an administrator, over a socket of its own. */
  const listSecrets = async (headers: Record<string, string>): Promise<{ status: number; text: string }> => {
    const { port } = new URL(fixture.platform.awsUrl);
    const outgoing = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'secretsmanager.ListSecrets',
        authorization: fixture.authorization('secretsmanager'),
        ...headers,
      },
    });
    outgoing.end('{}');
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    return { status: answer.statusCode as number, text: Buffer.concat(await answer.toArray()).toString() };
  };

  test.each([
    { origin: 'https://evil.test' },
    { origin: 'null' },
    { origin: 'http://localhost:3000' },
    { 'sec-fetch-site': 'cross-site' },
    { host: 'evil.test' },
    { host: 'evil.test:4566' },
    { host: 'localhost.evil.test' },
    { host: '127.0.0.1.evil.test' },
    { host: '192.168.1.5:4566' },
  ])('of a web page is refused: %o', async (headers) => {
    const { status, text } = await listSecrets(headers as Record<string, string>);
    expect(status).toBe(403);
    expect(text).not.toContain('SecretList');
  });

  test.each(['localhost:4566', 'LOCALHOST', 'bucket.localhost:4566', '127.0.0.1', '[::1]:4566'])(
    'of a program on this machine is taken, which calls it %s',
    async (host) => {
      expect(await listSecrets({ host })).toMatchObject({
        status: 200,
        text: expect.stringContaining('SecretList'),
      });
    },
  );
});

describe('RDS', () => {
  const auth = (...arns: string[]) =>
    arns.map((SecretArn) => ({ AuthScheme: 'SECRETS' as const, SecretArn }));
  const proxy = async (client = new RDSClient(fixture.client())) =>
    (await client.send(new DescribeDBProxiesCommand({ DBProxyName: 'cell-proxy' }))).DBProxies![0]!;

  test('replaces a proxy’s secrets as a whole, and is busy meanwhile', async () => {
    const client = new RDSClient(fixture.client());
    expect((await proxy()).Auth).toHaveLength(1);
    const modify = (...arns: string[]) =>
      client.send(new ModifyDBProxyCommand({ DBProxyName: 'cell-proxy', Auth: auth(...arns) }));
    const { DBProxy } = await modify('arn:a', 'arn:b');
    expect(DBProxy).toMatchObject({
      Status: 'modifying',
      Auth: [{ SecretArn: 'arn:a' }, { SecretArn: 'arn:b' }],
    });
    await expect(modify('arn:c')).rejects.toMatchObject({ name: 'InvalidDBProxyStateFault' });
    await expect.poll(async () => (await proxy()).Status, { timeout: 5_000 }).toBe('available');
    expect((await proxy()).Auth!.map((one) => one.SecretArn)).toEqual(['arn:a', 'arn:b']);
    await expect(modify(...Array.from({ length: 201 }, (_, index) => `arn:${index}`))).rejects.toThrow(
      'at most 200',
    );
  });

  test('deploying again puts the template’s secrets back', async () => {
    await fixture.restart();
    expect((await proxy()).Auth!.map((one) => one.SecretArn)).toEqual([
      expect.stringContaining('secret:template/generated-'),
    ]);
  });

  test('errors are AWS’s own', async () => {
    const client = new RDSClient(fixture.client());
    await expect(
      client.send(new DescribeDBProxyTargetsCommand({ DBProxyName: 'none' })),
    ).rejects.toMatchObject({ name: 'DBProxyNotFoundFault' });
    await expect(
      client.send(new DescribeDBClustersCommand({ DBClusterIdentifier: 'none' })),
    ).rejects.toMatchObject({ name: 'DBClusterNotFoundFault' });
    expect((await client.send(new DescribeDBClustersCommand({}))).DBClusters).toEqual([]);
    const granted = new RDSClient(fixture.client('Granted'));
    expect(await proxy(granted)).toMatchObject({ DBProxyName: 'cell-proxy', RequireTLS: true });
    await expect(
      granted.send(new ModifyDBProxyCommand({ DBProxyName: 'cell-proxy', Auth: [] })),
    ).rejects.toMatchObject({ name: 'AccessDenied', $metadata: { httpStatusCode: 403 } });
  });
});

describe('Lambda', () => {
  async function invoke(functionName: string, payload: unknown, roleName?: string) {
    const path = `/2015-03-31/functions/${encodeURIComponent(functionName)}/invocations`;
    const response = await fetch(`${fixture.platform.awsUrl}${path}`, {
      method: 'POST',
      headers: { authorization: fixture.authorization('lambda', roleName) },
      body: JSON.stringify(payload),
    });
    const { headers, status } = response;
    const functionError = headers.get('x-amz-function-error');
    return { status, functionError, error: headers.get('x-amzn-errortype'), payload: await response.json() };
  }

  test('invokes by name and ARN, and marks function errors', async () => {
    for (const name of ['Echo', 'arn:aws:lambda:us-east-1:000000000000:function:Echo']) {
      expect(await invoke(name, { a: 1 })).toMatchObject({
        status: 200,
        functionError: null,
        payload: { a: 1 },
      });
    }
    expect(await invoke('Fail', { key: 'x', error: 'Odd' })).toMatchObject({
      status: 200,
      functionError: 'Unhandled',
      payload: { errorType: 'Odd' },
    });
  });

  test('refuses unknown functions and roles without rights', async () => {
    expect(await invoke('Nothing', {})).toMatchObject({ status: 404, error: 'ResourceNotFoundException' });
    expect(await invoke('Echo', {}, 'Granted')).toMatchObject({
      status: 403,
      error: 'AccessDeniedException',
    });
  });
});

describe('the endpoint', () => {
  const post = (headers: Record<string, string>, body = '{}') =>
    fetch(fixture.platform.awsUrl, { method: 'POST', headers, body });

  test('refuses requests that are not signed', async () => {
    const response = await post({ 'x-amz-target': 'secretsmanager.ListSecrets' });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ __type: 'MissingAuthenticationTokenException' });
    expect(response.headers.get('x-amzn-requestid')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('refuses what it does not offer: denied to roles, not implemented to administrators', async () => {
    expect(await fixture.call('secretsmanager.RotateSecret', {})).toMatchObject({
      status: 501,
      body: { __type: 'UnknownOperationException' },
    });
    expect(await fixture.call('secretsmanager.RotateSecret', {}, 'WithoutKey')).toMatchObject({
      body: { __type: 'AccessDeniedException' },
    });
    expect(await fixture.call('dynamodb.GetItem', {}, 'WithoutKey')).toMatchObject({
      body: { __type: 'AccessDeniedException' },
    });
    expect(await fixture.call('secretsmanager.toString', {})).toMatchObject({ status: 501 });
  });

  test('refuses bodies that are no JSON object', async () => {
    const authorization = fixture.authorization('secretsmanager');
    const headers = { authorization, 'x-amz-target': 'secretsmanager.ListSecrets' };
    for (const body of ['{', '[]', '"x"']) {
      expect(await (await post(headers, body)).json()).toMatchObject({ __type: 'SerializationException' });
    }
  });
});
