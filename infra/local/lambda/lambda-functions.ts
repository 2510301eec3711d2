import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { FunctionNotFound, reasonOf } from '../errors.ts';
import type { Functions, InvokeResult, Log } from '../model.ts';
import { LambdaFunction } from './lambda-function.ts';

export interface FunctionDefinition {
  name: string;
  arn: string;
  roleArn: string;
  /** Directory of the bundle. */
  root: string;
  handler: string;
  timeoutSeconds: number;
  memoryMb: number;
  /** The template's variables and the ones Lambda adds. */
  variables: Record<string, string>;
  logGroupName: string;
  /** `ReservedConcurrentExecutions`, if the template sets it. */
  reservedConcurrency?: number;
}

/** Environments per function at most: enough to show concurrency, few enough for a small machine. */
const localConcurrency = 4;

/** All deployed functions. Their output goes to `<logsDir>/<name>.log`, and to stderr when asked. */
export class LambdaFunctions implements Functions {
  readonly #logsDir: string;
  readonly #caCertificate: string;
  readonly #echo: boolean;
  readonly #log: Log;
  readonly #functions = new Map<string, { definition: FunctionDefinition; runner: LambdaFunction }>();

  constructor(options: { logsDir: string; caCertificate: string; echo: boolean; log: Log }) {
    this.#logsDir = options.logsDir;
    this.#caCertificate = options.caCertificate;
    this.#echo = options.echo;
    this.#log = options.log;
  }

  /** Registers a function, or replaces it; nothing runs before its first invocation. */
  define(definition: FunctionDefinition): void {
    const { name } = definition;
    void this.#functions.get(name)?.runner.stop();
    const runner = new LambdaFunction(
      {
        setup: {
          root: definition.root,
          handler: definition.handler,
          caCertificate: this.#caCertificate,
          functionName: name,
          functionArn: definition.arn,
          memoryMb: definition.memoryMb,
          logGroupName: definition.logGroupName,
          logStreamName: `${new Date().toISOString().slice(0, 10).replaceAll('-', '/')}/[$LATEST]local`,
        },
        variables: definition.variables,
        timeoutSeconds: definition.timeoutSeconds,
        log: functionLog(join(this.#logsDir, `${name}.log`), this.#echo),
      },
      Math.min(localConcurrency, definition.reservedConcurrency ?? localConcurrency),
    );
    this.#functions.set(name, { definition, runner });
  }

  async remove(name: string): Promise<void> {
    const found = this.#functions.get(name);
    this.#functions.delete(name);
    await found?.runner.stop();
  }

  async invoke(
    functionNameOrArn: string,
    payload: unknown,
    options?: { type?: 'RequestResponse' | 'Event' },
  ): Promise<InvokeResult> {
    const name = functionName(functionNameOrArn);
    const found = this.#functions.get(name);
    if (!found) throw new FunctionNotFound(`Function not found: ${functionNameOrArn}`);
    if (options?.type !== 'Event') return found.runner.invoke(payload);
    void found.runner.invoke(payload).then(
      ({ functionError }) =>
        functionError && this.#log(`asynchronous invocation of ${name} failed (see its log)`),
      (cause: unknown) => this.#log(`asynchronous invocation of ${name} failed: ${reasonOf(cause)}`),
    );
    return { payload: null };
  }

  list() {
    return [...this.#functions.values()].map(({ definition }) => {
      const { name, arn, roleArn, timeoutSeconds, memoryMb } = definition;
      return { name, arn, roleArn, timeoutSeconds, memoryMb };
    });
  }

  async stop(): Promise<void> {
    await Promise.allSettled([...this.#functions.values()].map(({ runner }) => runner.stop()));
  }
}

/** Accepts a name, `arn:…:function:name`, and either with a qualifier. */
function functionName(nameOrArn: string): string {
  const parts = nameOrArn.split(':');
  return (parts.length > 2 ? parts[6] : parts[0]) ?? nameOrArn;
}

/** Opened on the first line: most functions of a template are never invoked here. */
function functionLog(path: string, echo: boolean): Writable {
  let file: Writable | undefined;
  const log = new Writable({
    write(chunk: Buffer, _encoding, done) {
      file ??= openLog(path);
      if (echo) process.stderr.write(chunk);
      if (file.write(chunk)) done();
      else file.once('drain', done);
    },
  });
  // Every environment of the function pipes into it.
  log.setMaxListeners(0);
  return log;
}

function openLog(path: string): Writable {
  const file = createWriteStream(path, { flags: 'a' });
  // A disk that is full, or a state directory that was removed, must not end the platform.
  file.on('error', () => {});
  return file;
}
