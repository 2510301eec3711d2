import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import { compileCache } from './compile-cache.ts';
import { AssemblyError } from './errors.ts';
import { readJson, writeDurably } from './state/state-file.ts';
import { hashSynthesisInputs } from './synthesis-inputs.ts';

export interface SynthesizeOptions {
  projectDir: string;
  /** Where the assembly goes; what was there is erased, unless nothing has changed that it was made of. */
  output: string;
  logFile: string;
  signal: AbortSignal;
}

/** Beside the assembly, written last: what it was made of. */
const INPUTS = 'inputs.sha256';

/**
 * Runs the `app` command of cdk.json, as the CDK's command line does, where its assembly is not there already.
 * @throws {AssemblyError} with the app's own first complaint
 */
export async function synthesize({ projectDir, output, logFile, signal }: SynthesizeOptions): Promise<void> {
  const { app, context } = readJson<{ app?: string; context?: object }>(join(projectDir, 'cdk.json'), {});
  if (!app) throw new AssemblyError(`${join(projectDir, 'cdk.json')} has no "app" command`);
  // `node` in the command must be the one that runs this, also when npm did not set the path up.
  const path = [dirname(process.execPath), join(projectDir, 'node_modules', '.bin'), process.env.PATH].join(
    delimiter,
  );
  const env = {
    NODE_COMPILE_CACHE: compileCache,
    DB_PIPELINE: 'on',
    // Beside each server's own certificate, and relative to its data directory.
    REPLICATION_TLS: 'sslmode=verify-full sslrootcert=ca.crt',
    ...process.env,
    PATH: path,
    CDK_OUTDIR: output,
    CDK_CONTEXT_JSON: JSON.stringify(context ?? {}),
  };
  const inputs = hashSynthesisInputs(projectDir, output, env);
  const inputsFile = join(output, INPUTS);
  if (existsSync(inputsFile) && readFileSync(inputsFile, 'utf8') === inputs) return;
  rmSync(output, { recursive: true, force: true });
  const child = spawn(app, { shell: true, cwd: projectDir, signal, env, stdio: ['ignore', 'pipe', 'pipe'] });
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
  if (code === 0) return writeDurably(inputsFile, inputs);
  const lines = complaint.split('\n').filter((line) => line.trim() !== '');
  const reason = lines.find((line) => /^\w*Error\b|\bError: /.test(line)) ?? lines[0] ?? `exit code ${code}`;
  throw new AssemblyError(`the CDK app did not synthesize: ${reason.trim()} (log: ${logFile})`);
}
