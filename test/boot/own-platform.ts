import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DescribeExecutionCommand,
  GetExecutionHistoryCommand,
  ListStateMachinesCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { vi } from 'vitest';
import { ApiClient } from '../../infra/cli/api-client.ts';
import { type Send, sendThrough } from '../../infra/cli/client-load.ts';
import {
  type IdentityDocument,
  identityDocumentName,
  signToken,
  stateFile,
} from '../../infra/local/index.ts';
import { unusedPorts } from '../local/running-fixture.ts';

export interface Execution {
  readonly executionArn: string;
  readonly status: string;
  readonly error: string | undefined;
  readonly cause: string | undefined;
}

/** A platform of a test's own, in a process group that can be killed as a whole, and started again on its state. */
export class OwnPlatform {
  readonly directory: string;
  readonly stateDir: string;
  readonly #project: string;
  readonly #environment: Readonly<Record<string, string>>;
  /** Of its home region. */
  readonly awsRegion: string;
  #process: ChildProcess | undefined;
  #ports: readonly [number, number] = [0, 0];
  #printed = '';

  /** @param project where infra/start.ts is. @param environment of its process, beside this one's. */
  constructor(
    project: string,
    directory = mkdtempSync(join(tmpdir(), 'strata-boot-')),
    environment: Readonly<Record<string, string>> = {},
    awsRegion = 'us-east-1',
  ) {
    this.awsRegion = awsRegion;
    this.#project = project;
    this.#environment = environment;
    this.directory = directory;
    chmodSync(directory, 0o755);
    this.stateDir = join(directory, 'state');
  }

  /** By the latest start. */
  get printed(): string {
    return this.#printed;
  }

  get apiUrl(): string {
    return `http://127.0.0.1:${this.#ports[0]}`;
  }

  get awsUrl(): string {
    return `http://127.0.0.1:${this.#ports[1]}`;
  }

  get states(): SFNClient {
    return new SFNClient({
      endpoint: this.awsUrl,
      region: this.awsRegion,
      credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
      maxAttempts: 1,
    });
  }

  /** Waits for `ready`. */
  async start(...flags: string[]): Promise<void> {
    this.#ports = await unusedPorts();
    const child = spawn(process.execPath, ['infra/start.ts', ...flags], {
      cwd: this.#project,
      env: {
        ...process.env,
        STRATA_PITR: 'off',
        // Its load is more than a Starter tenant may send.
        STRATA_CACHE: 'off',
        ...this.#environment,
        STRATA_DIR: this.stateDir,
        API_PORT: String(this.#ports[0]),
        AWS_PORT: String(this.#ports[1]),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#process = child;
    this.#printed = '';
    const ready = new Promise<void>((done, failed) => {
      const read = (text: string) => {
        this.#printed += text;
        if (/^ready /m.test(this.#printed)) done();
      };
      child.stdout.setEncoding('utf8').on('data', read);
      child.stderr.setEncoding('utf8').on('data', read);
      child.once('exit', (code) => failed(new Error(`the platform ended with ${code}:\n${this.#printed}`)));
    });
    await ready;
  }

  /** As `kill -9` of the whole group: nothing gets to say goodbye. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child?.pid) return;
    const ended = once(child, 'exit');
    process.kill(-child.pid, 'SIGKILL');
    await ended;
    this.#process = undefined;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child && child.exitCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** What signs the tokens of all its user pools. */
  get identity(): IdentityDocument {
    return stateFile(join(this.stateDir, 'state')).load<IdentityDocument>(identityDocumentName, {});
  }

  /** A client of the API as that user, or as an operator. */
  async client(user?: { tenantId: string; email: string }): Promise<ApiClient> {
    const { identity } = this;
    const subject = user
      ? { ...user, role: 'admin', scope: '' }
      : { email: 'operator@strata.test', scope: 'strata/operator' };
    return new ApiClient(this.apiUrl, await signToken(identity as Required<IdentityDocument>, subject));
  }

  /** Requests of a user to the platform as it is running now. */
  async sender(user: { tenantId: string; email: string }): Promise<Send> {
    return sendThrough(await this.client(user));
  }

  startOnboarding(input: object): Promise<string> {
    return this.startExecution('tenant-onboarding', input);
  }

  async startExecution(stateMachine: string, input: object): Promise<string> {
    const { stateMachines = [] } = await this.states.send(new ListStateMachinesCommand({}));
    const stateMachineArn = stateMachines.find(({ name }) => name === stateMachine)?.stateMachineArn;
    const { executionArn } = await this.states.send(
      new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) }),
    );
    return String(executionArn);
  }

  async execution(executionArn: string): Promise<Execution> {
    const { status, error, cause } = await this.states.send(new DescribeExecutionCommand({ executionArn }));
    return { executionArn, status: String(status), error, cause };
  }

  /** Waits until the execution is over. */
  async finished(executionArn: string): Promise<Execution> {
    const over = async () => (await this.execution(executionArn)).status !== 'RUNNING';
    await vi.waitUntil(over, { timeout: 60_000, interval: 20 });
    return this.execution(executionArn);
  }

  /** Waits until the execution has entered the state, or is over. */
  async entered(executionArn: string, state: string): Promise<void> {
    const seen = async () => {
      const { events = [] } = await this.states.send(new GetExecutionHistoryCommand({ executionArn }));
      if (events.some((event) => event.stateEnteredEventDetails?.name === state)) return true;
      return (await this.execution(executionArn)).status !== 'RUNNING';
    };
    await vi.waitUntil(seen, { timeout: 60_000, interval: 5 });
  }
}
