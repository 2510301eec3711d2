/**
 * Runs inside a worker thread: Lambda's Node.js runtime for one ESM bundle.
 *
 * States: loading → idle ⇄ invoking. The parent sends one invocation at a time; messages are JSON text, as in Lambda,
 * so a Date becomes a string in both.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import { closePrivateAddresses } from './private-addresses.ts';

/** Settings of a new worker. */
export interface WorkerSetup {
  /** Directory of the bundle. */
  root: string;
  /** `path/to/module.export`, as in the template. */
  handler: string;
  /** PEM of the authority that signed the local databases' certificates. */
  caCertificate: string;
  functionName: string;
  functionArn: string;
  memoryMb: number;
  logGroupName: string;
  logStreamName: string;
  /** Ports of this machine that a function in no VPC reaches; absent for one that is in a VPC. */
  openPorts?: readonly number[];
}

export interface WorkerInvocation {
  requestId: string;
  /** JSON text of the event. */
  event: string;
  /** Milliseconds since the epoch. */
  deadline: number;
}

/** Either the handler's result as JSON text, or Lambda's error object. */
export type WorkerAnswer =
  | { kind: 'ready' }
  | { kind: 'result'; result: string }
  | { kind: 'error'; error: FunctionError; fatal: boolean };

export interface FunctionError {
  errorType: string;
  errorMessage: string;
  trace?: string[];
}

type Handler = (event: unknown, context: object) => unknown;

const setup = workerData as WorkerSetup;
const parent = parentPort!;

// It was for this thread's start: a function sees its own variables only.
delete process.env.NODE_COMPILE_CACHE;

tls.setDefaultCACertificates([...tls.getCACertificates('default'), setup.caCertificate]);

const openPort = setup.openPorts && closePrivateAddresses(setup.functionName, setup.openPorts);

let handler: Handler;
try {
  handler = await loadHandler();
  parent.on('message', (invocation: WorkerInvocation) => void invoke(invocation));
  parent.postMessage({ kind: 'ready' } satisfies WorkerAnswer);
} catch (cause) {
  parent.postMessage({ kind: 'error', error: describe(cause), fatal: true } satisfies WorkerAnswer);
}

async function loadHandler(): Promise<Handler> {
  const slash = setup.handler.lastIndexOf('/');
  const dot = setup.handler.indexOf('.', slash + 1);
  const module = setup.handler.slice(0, dot);
  const exported = setup.handler.slice(dot + 1);
  const file = ['.mjs', '.js']
    .map((extension) => join(setup.root, module + extension))
    .find((path) => existsSync(path));
  if (dot < 0 || !file) {
    throw runtimeError('Runtime.ImportModuleError', `Error: Cannot find module '${module}'`);
  }
  const bundle = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const found = bundle[exported] ?? (bundle.default as Record<string, unknown> | undefined)?.[exported];
  if (typeof found !== 'function') {
    throw runtimeError('Runtime.HandlerNotFound', `${setup.handler} is undefined or not exported`);
  }
  return found as Handler;
}

async function invoke({ requestId, event, deadline }: WorkerInvocation): Promise<void> {
  let answer: WorkerAnswer;
  try {
    process.env._X_AMZN_TRACE_ID = traceHeader();
    const parsed = JSON.parse(event) as { ResponseURL?: unknown } | null;
    // A custom resource answers to a bucket.
    if (typeof parsed?.ResponseURL === 'string') openPort?.(Number(new URL(parsed.ResponseURL).port));
    const result = await handler(parsed, {
      awsRequestId: requestId,
      callbackWaitsForEmptyEventLoop: true,
      functionName: setup.functionName,
      functionVersion: '$LATEST',
      invokedFunctionArn: setup.functionArn,
      memoryLimitInMB: String(setup.memoryMb),
      logGroupName: setup.logGroupName,
      logStreamName: setup.logStreamName,
      getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    });
    answer = { kind: 'result', result: JSON.stringify(result) ?? 'null' };
  } catch (cause) {
    answer = { kind: 'error', error: describe(cause), fatal: false };
  }
  parent.postMessage(answer);
}

/** As Lambda sets it for each invocation of a function that is not traced. */
function traceHeader(): string {
  const epoch = Math.floor(Date.now() / 1000).toString(16);
  return `Root=1-${epoch}-${randomBytes(12).toString('hex')};Parent=${randomBytes(8).toString('hex')};Sampled=0`;
}

function runtimeError(name: string, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}

function describe(cause: unknown): FunctionError {
  if (!(cause instanceof Error)) {
    return {
      errorType: typeof cause,
      errorMessage: typeof cause === 'string' ? cause : (JSON.stringify(cause) ?? String(cause)),
    };
  }
  return { errorType: cause.name, errorMessage: cause.message, trace: (cause.stack ?? '').split('\n') };
}
