import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { internals } from '../../infra/local/index.ts';
import { newDirectory } from './running-fixture.ts';

const { LambdaFunctions, localCertificates } = await internals();
type LambdaFunctions = InstanceType<typeof LambdaFunctions>;

const code = `
import tls from 'node:tls';
let calls = 0;
let active = 0;
export const handler = async (event, context) => {
  active += 1;
  const together = active;
  if (event.log) console.log(event.log);
  if (event.ms) await new Promise((resolve) => setTimeout(resolve, event.ms));
  if (event.forever) await new Promise(() => {});
  if (event.throw) { active -= 1; throw new RangeError(event.throw); }
  if (event.exit) process.exit(event.exit);
  if (event.later) { setTimeout(() => { throw new Error(event.later); }, 0); await new Promise(() => {}); }
  active -= 1;
  if (event.text) return event.text.repeat(event.times);
  return {
    calls: ++calls, together, at: new Date(0), nothing: undefined, context, pid: event.pid,
    remaining: context.getRemainingTimeInMillis(), env: { ...process.env },
    trusted: tls.getCACertificates('default').length - tls.rootCertificates.length,
  };
};
export const notAFunction = 1;
`;

const directory = newDirectory();
let functions: LambdaFunctions;

beforeAll(async () => {
  mkdirSync(join(directory, 'tls'));
  mkdirSync(join(directory, 'api'));
  writeFileSync(join(directory, 'api', 'main.mjs'), code);
  const { caCertificate } = await localCertificates(join(directory, 'tls'));
  functions = new LambdaFunctions({
    logsDir: directory,
    caCertificate,
    echo: false,
    awsPort: 0,
    log: () => {},
  });
  for (const [name, handler] of [
    ['main', 'api/main.handler'],
    ['missing', 'api/none.handler'],
    ['unexported', 'api/main.notAFunction'],
  ] as const) {
    functions.define({
      name,
      arn: `arn:aws:lambda:us-east-1:000000000000:function:${name}`,
      roleArn: 'arn:aws:iam::000000000000:role/r',
      root: directory,
      handler,
      timeoutSeconds: 1,
      memoryMb: 128,
      variables: { COLOUR: 'blue' },
      logGroupName: `/aws/lambda/${name}`,
      subnetIds: [],
    });
  }
});

afterAll(async () => {
  await functions.stop();
  rmSync(directory, { recursive: true, force: true });
});

interface Result {
  calls: number;
  together: number;
  remaining: number;
  trusted: number;
  env: unknown;
  context: unknown;
  errorType: string;
  errorMessage: string;
  trace: string[];
}
const invoke = async (event: unknown, name = 'main') => {
  const { payload, functionError } = await functions.invoke(name, event);
  return { ...(payload as Result), functionError };
};

test('a function sees its own variables, a context and the local certificate authority', async () => {
  const result = await invoke({});
  expect(result.env).toEqual({
    COLOUR: 'blue',
    _X_AMZN_TRACE_ID: expect.stringMatching(
      /^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$/,
    ),
  });
  expect(result.context).toMatchObject({
    functionName: 'main',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:main',
    memoryLimitInMB: '128',
    logGroupName: '/aws/lambda/main',
    awsRequestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  expect(result.remaining).toBeGreaterThan(500);
  expect(result.remaining).toBeLessThanOrEqual(1000);
  expect(result.trusted).toBe(1);
});

test('payloads cross as JSON text', async () => {
  const result = await invoke({ pid: new Date(5) });
  expect(result).toMatchObject({ at: '1970-01-01T00:00:00.000Z', pid: '1970-01-01T00:00:00.005Z' });
  expect('nothing' in result).toBe(false);
});

test('an environment handles one invocation at a time; others run beside it, up to four, and the rest waits', async () => {
  const results = await Promise.all(Array.from({ length: 9 }, () => invoke({ ms: 30 })));
  expect(results.map(({ together }) => together)).toEqual(Array(9).fill(1));
  expect(results.every(({ functionError }) => functionError === undefined)).toBe(true);
});

test('a handler that throws is an Unhandled error with its type, and the environment lives on', async () => {
  const before = await invoke({});
  const failed = await invoke({ throw: 'too far' });
  expect(failed).toMatchObject({
    functionError: 'Unhandled',
    errorType: 'RangeError',
    errorMessage: 'too far',
  });
  expect(failed.trace).toEqual(expect.arrayContaining([expect.stringContaining('main.mjs')]));
  expect((await invoke({})).calls).toBe(before.calls + 1);
});

test('an answer is measured in bytes, not in characters', async () => {
  // With its quotes.
  const fits = await functions.invoke('main', { text: 'ä', times: 3 * 1024 * 1024 - 1 });
  expect(fits.functionError).toBeUndefined();
  expect(await functions.invoke('main', { text: 'ä', times: 3 * 1024 * 1024 })).toMatchObject({
    functionError: 'Unhandled',
    payload: { errorType: 'Function.ResponseSizeTooLarge' },
  });
});

test('a function that exceeds its timeout is ended and the next call gets a new environment', async () => {
  const started = performance.now();
  expect(await invoke({ forever: true })).toMatchObject({
    functionError: 'Unhandled',
    errorType: 'Sandbox.Timedout',
    errorMessage: expect.stringMatching(
      /^RequestId: [0-9a-f-]{36} Error: Task timed out after 1.00 seconds$/,
    ),
  });
  expect(performance.now() - started).toBeLessThan(2000);
  expect((await invoke({})).functionError).toBeUndefined();
});

test.each([
  [{ exit: 3 }, 'Runtime.ExitError', /Runtime exited with error: exit status 3/],
  [{ later: 'nobody caught me' }, 'Runtime.UnhandledPromiseRejection', /nobody caught me/],
])('a crash (%j) fails its own invocation only', async (event, errorType, errorMessage) => {
  const failed = await invoke(event);
  expect(failed).toMatchObject({ functionError: 'Unhandled', errorType });
  expect(failed.errorMessage).toMatch(errorMessage);
  expect((await invoke({})).functionError).toBeUndefined();
});

test.each([
  ['missing', 'Runtime.ImportModuleError'],
  ['unexported', 'Runtime.HandlerNotFound'],
])('a handler that cannot be loaded (%s) is a function error', async (name, errorType) => {
  expect(await invoke({}, name)).toMatchObject({ functionError: 'Unhandled', errorType });
});

test('a name, an ARN and a qualified ARN mean the same function; an unknown one is refused', async () => {
  const arn = 'arn:aws:lambda:us-east-1:000000000000:function:main';
  for (const name of [arn, `${arn}:live`, 'main:1'])
    expect((await invoke({}, name)).functionError).toBeUndefined();
  await expect(functions.invoke('nope', {})).rejects.toThrow('Function not found: nope');
});

test('what a function prints is in its log file', async () => {
  await invoke({ log: 'a line for the log' });
  await expect
    .poll(() => readFileSync(join(directory, 'main.log'), 'utf8'), { timeout: 10_000 })
    .toContain('a line for the log');
});

test('an asynchronous invocation answers at once', async () => {
  expect(await functions.invoke('main', { ms: 50, log: 'ran later' }, { type: 'Event' })).toEqual({
    payload: null,
  });
  await expect
    .poll(() => readFileSync(join(directory, 'main.log'), 'utf8'), { timeout: 10_000 })
    .toContain('ran later');
});
