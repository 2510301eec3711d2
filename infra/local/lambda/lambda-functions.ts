import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { FunctionNotFound, reasonOf } from '../errors.ts';
import { type Functions, type InvokeOptions, type InvokeResult, LOCAL_ACCOUNT, type Log } from '../model.ts';
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
  /** Absent: it is in no VPC. */
  subnetIds: readonly string[];
  /** `ReservedConcurrentExecutions`, if the template sets it. */
  reservedConcurrency?: number;
}

/** Limit of environments per function: enough to show concurrency, few enough for a small machine. */
const localConcurrency = 4;

interface Deployed {
  definition: FunctionDefinition;
  logFile: string;
  runner: LambdaFunction;
}

/**
 * All deployed functions. Their output goes to `<logsDir>/<name>.log`, and optionally to stderr; when another region
 * has a function of that name already, to `<logsDir>/<name>.<region>.log`.
 */
export class LambdaFunctions implements Functions {
  readonly #logsDir: string;
  readonly #caCertificate: string;
  readonly #echo: boolean;
  readonly #awsPort: number;
  readonly #log: Log;
  /** By ARN, because two regions may each have a function of one name. */
  readonly #functions = new Map<string, Deployed>();
  /** Former versions that still have invocations. */
  readonly #retired = new Set<LambdaFunction>();

  /**
   * @param options `awsPort`: port of the AWS endpoint, the only one that a function in no VPC reaches on this machine
   */
  constructor(options: {
    logsDir: string;
    caCertificate: string;
    echo: boolean;
    awsPort: number;
    log: Log;
  }) {
    this.#logsDir = options.logsDir;
    this.#caCertificate = options.caCertificate;
    this.#echo = options.echo;
    this.#awsPort = options.awsPort;
    this.#log = options.log;
  }

  /**
   * Registers a function, or a new version of it; it starts at its first invocation. The former version finishes its
   * invocations.
   */
  define(definition: FunctionDefinition): void {
    const { name, arn } = definition;
    this.#retire(this.#functions.get(arn));
    const logFile = join(this.#logsDir, this.#logName(definition));
    const runner = new LambdaFunction(
      {
        setup: {
          root: definition.root,
          handler: definition.handler,
          caCertificate: this.#caCertificate,
          functionName: name,
          functionArn: arn,
          memoryMb: definition.memoryMb,
          logGroupName: definition.logGroupName,
          ...(definition.subnetIds.length === 0 ? { openPorts: [this.#awsPort] } : {}),
          logStreamName: `${new Date().toISOString().slice(0, 10).replaceAll('-', '/')}/[$LATEST]local`,
        },
        variables: definition.variables,
        timeoutSeconds: definition.timeoutSeconds,
        log: functionLog(logFile, this.#echo),
      },
      Math.min(localConcurrency, definition.reservedConcurrency ?? localConcurrency),
    );
    this.#functions.set(arn, { definition, logFile, runner });
  }

  /** It finishes its invocations. */
  async remove(arn: string): Promise<void> {
    const found = this.#functions.get(arn);
    this.#functions.delete(arn);
    this.#retire(found);
  }

  async invoke(
    functionNameOrArn: string,
    payload: unknown,
    { type, region }: InvokeOptions = {},
  ): Promise<InvokeResult> {
    const found = this.#find(functionNameOrArn, region);
    const { name } = found.definition;
    if (type !== 'Event') return found.runner.invoke(payload);
    void found.runner.invoke(payload).then(
      ({ functionError }) =>
        functionError && this.#log(`asynchronous invocation of ${name} failed (see its log)`),
      (cause: unknown) => this.#log(`asynchronous invocation of ${name} failed: ${reasonOf(cause)}`),
    );
    return { payload: null };
  }

  list() {
    return [...this.#functions.values()].map(({ definition, logFile }) => {
      const { name, arn, roleArn, timeoutSeconds, memoryMb, subnetIds, logGroupName } = definition;
      return { name, arn, roleArn, timeoutSeconds, memoryMb, subnetIds, logGroupName, logFile };
    });
  }

  async stop(): Promise<void> {
    const runners = [...[...this.#functions.values()].map(({ runner }) => runner), ...this.#retired];
    await Promise.allSettled(runners.map((runner) => runner.stop()));
  }

  #retire(deployed: Deployed | undefined): void {
    if (!deployed) return;
    const { runner } = deployed;
    this.#retired.add(runner);
    void runner.retire().finally(() => this.#retired.delete(runner));
  }

  /** Accepts a name, `account:function:name`, `arn:…:function:name`, and each with a qualifier. */
  #find(nameOrArn: string, region: string | undefined): Deployed {
    const [, home, name] =
      /^(?:arn:aws:lambda:([^:]+):\d+:function:|\d+:function:)?([^:]+)/.exec(nameOrArn) ?? [];
    if (home && region && home !== region) {
      throw new FunctionNotFound(`Functions from '${home}' are not reachable in this region ('${region}')`);
    }
    const where = home ?? region;
    const found = where
      ? this.#functions.get(`arn:aws:lambda:${where}:${LOCAL_ACCOUNT}:function:${name}`)
      : this.#onlyOne(name);
    if (!found) throw new FunctionNotFound(`Function not found: ${nameOrArn}`);
    return found;
  }

  #onlyOne(name: string | undefined): Deployed | undefined {
    const [found, ...others] = [...this.#functions.values()].filter(
      ({ definition }) => definition.name === name,
    );
    return others.length === 0 ? found : undefined;
  }

  #logName({ name, arn }: FunctionDefinition): string {
    const holder = [...this.#functions.values()].find(({ definition }) => definition.name === name);
    return holder && holder.definition.arn !== arn ? `${name}.${arn.split(':')[3]}.log` : `${name}.log`;
  }
}

/** Opened on the first line, because most functions of a template are never invoked here. */
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
  // A full disk, or a removed state directory, must not end the platform.
  file.on('error', () => {});
  return file;
}
