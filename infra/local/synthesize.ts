import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { compileCache } from './compile-cache.ts';
import { AssemblyError } from './errors.ts';
import { readJson, writeDurably } from './state/state-file.ts';
import { appEnvironment, hashSynthesisInputs } from './synthesis-inputs.ts';
import { valkeyProgram } from './valkey/valkey-program.ts';

export interface SynthesizeOptions {
  projectDir: string;
  /** Directory of the assembly; its former content is erased, unless no input has changed since. */
  output: string;
  logFile: string;
  signal: AbortSignal;
}

/** Beside the assembly, written last: the hash of its inputs. */
const INPUTS = 'inputs.sha256';

/** From cdk.json. */
interface Settings {
  app?: string;
  context?: object;
  /** Variables that the app reads; our own addition to cdk.json. */
  environment?: string[];
}

/** A running synthesis. */
export interface Synthesis {
  /** @throws {AssemblyError} with the app's own first complaint */
  done: Promise<void>;
  /** Ends the app's process. Never rejects. */
  stop(): Promise<void>;
}

/**
 * Starts to run the `app` command of cdk.json, as the CDK's command line does.
 * @returns undefined when its assembly exists already.
 * @throws {AssemblyError} when there is no such command
 */
export function synthesize(options: SynthesizeOptions): Synthesis | undefined {
  const { projectDir, output, signal } = options;
  const { app, context, environment } = readJson<Settings>(join(projectDir, 'cdk.json'), {});
  if (!app) throw new AssemblyError(`${join(projectDir, 'cdk.json')} has no "app" command`);
  // `node` in the command must be the current one, even when npm did not set the path.
  const path = [dirname(process.execPath), join(projectDir, 'node_modules', '.bin'), process.env.PATH].join(
    delimiter,
  );
  const env = {
    NODE_COMPILE_CACHE: compileCache,
    DB_PIPELINE: 'on',
    // Caches are off by default, and on here where a server can run.
    STRATA_CACHE: valkeyProgram() ? 'on' : 'off',
    // Beside each server's own certificate, and relative to its data directory.
    REPLICATION_TLS: 'sslmode=verify-full sslrootcert=ca.crt',
    // A wait of that length is shortened as every other one is: to seconds.
    OFFBOARDING_GRACE_MINUTES: '10',
    // Only the assembly is read, which does not need them.
    CDK_DISABLE_STACK_TRACE: '1',
    ...appEnvironment(process.env, environment),
    PATH: path,
    CDK_OUTDIR: output,
    CDK_CONTEXT_JSON: JSON.stringify(context ?? {}),
  };
  const inputs = hashSynthesisInputs(projectDir, output, env);
  const inputsFile = join(output, INPUTS);
  if (existsSync(inputsFile) && readFileSync(inputsFile, 'utf8') === inputs) return undefined;
  rmSync(output, { recursive: true, force: true });
  const stopping = new AbortController();
  const child = spawn(app, {
    shell: true,
    cwd: projectDir,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([signal, stopping.signal]),
  });
  const done = runToEnd(child, options).then(() => writeDurably(inputsFile, inputs));
  // The code that awaits it gets the error; a start that fails before that has its own error.
  const ended = done.catch(() => {});
  const stop = () => {
    stopping.abort();
    return ended;
  };
  return { done, stop };
}

async function runToEnd(
  child: ChildProcessByStdio<null, Readable, Readable>,
  { logFile }: SynthesizeOptions,
): Promise<void> {
  const log = createWriteStream(logFile);
  let complaint = '';
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  await finished(log.end());
  if (code === 0) return;
  const lines = complaint.split('\n').filter((line) => line.trim() !== '');
  const reason = lines.find((line) => /^\w*Error\b|\bError: /.test(line)) ?? lines[0] ?? `exit code ${code}`;
  throw new AssemblyError(`the CDK app did not synthesize: ${reason.trim()} (log: ${logFile})`);
}
