import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { internals } from '../../infra/local/index.ts';
import { newDirectory } from './running-fixture.ts';

const { LambdaFunctions, localCertificates } = await internals();
type LambdaFunctions = InstanceType<typeof LambdaFunctions>;

const code = `
import { randomUUID } from 'node:crypto';
const environment = randomUUID();
export const handler = async ({ until }) => {
  if (until) await fetch(until);
  return environment;
};
`;

const directory = newDirectory();
let functions: LambdaFunctions;
let count = 0;
let name: string;

beforeAll(async () => {
  mkdirSync(join(directory, 'tls'));
  writeFileSync(join(directory, 'main.mjs'), code);
  const { caCertificate } = await localCertificates(join(directory, 'tls'));
  functions = new LambdaFunctions({
    logsDir: directory,
    caCertificate,
    echo: false,
    awsPort: 0,
    log: () => {},
  });
});
afterAll(async () => {
  await functions.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  name = `function-${++count}`;
  functions.define({
    name,
    arn: `arn:aws:lambda:us-east-1:000000000000:function:${name}`,
    roleArn: 'arn:aws:iam::000000000000:role/r',
    root: directory,
    handler: 'main.handler',
    timeoutSeconds: 10,
    memoryMb: 128,
    variables: {},
    logGroupName: `/aws/lambda/${name}`,
    // In a network, since it waits for a server of this machine.
    subnetIds: ['subnet-1'],
  });
});

const invoke = async (event: unknown = {}) => String((await functions.invoke(name, event)).payload);

test('a burst of short invocations is served by the environment that is there', async () => {
  await invoke();
  const environments = await Promise.all(Array.from({ length: 8 }, () => invoke()));
  expect(new Set(environments).size).toBe(1);
});

test('invocations that take long get environments of their own', async () => {
  const waiting: (() => void)[] = [];
  const server = createServer((_request, response) => {
    waiting.push(() => response.end());
    // All three run at the same time, or none of them ever ends.
    if (waiting.length === 3) for (const go of waiting) go();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  const until = `http://127.0.0.1:${port}`;
  const environments = await Promise.all([invoke({ until }), invoke({ until }), invoke({ until })]);
  expect(new Set(environments).size).toBe(3);
  server.close();
});
