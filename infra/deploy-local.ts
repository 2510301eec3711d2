/**
 * `npm run deploy:local [-- --assembly DIRECTORY] [--fail-after STACK/LOGICALID]`
 *
 * Deploys the current project, or an assembly, to the running platform of `npm start`, which keeps serving. Give it the
 * same variables as `npm start`. Exit code 0 when everything is deployed, 1 when it failed, whether it was rolled back
 * or not.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type DeploymentOutcome, requestDeployment, synthesize } from './local/index.ts';

const USAGE = 'usage: npm run deploy:local [-- --assembly DIRECTORY] [--fail-after STACK/LOGICALID]';

// `npm run synth` checks the templates.
process.env.STRATA_NAG ??= 'off';
try {
  const { assembly, 'fail-after': failAfter } = options();
  const awsUrl = `http://127.0.0.1:${process.env.AWS_PORT || 4566}`;
  const outcome = await requestDeployment(
    awsUrl,
    (assemblies) =>
      assembly === undefined ? synthesizeInto(assemblies) : Promise.resolve(resolve(assembly)),
    { report: (line) => console.log(line), ...(failAfter === undefined ? {} : { failAfter }) },
  );
  console.log(summaryOf(outcome));
  if (outcome.status !== 'deployed') process.exitCode = 1;
} catch (error) {
  // One line for errors that the user can fix; DEBUG=1 shows the stack.
  console.error(process.env.DEBUG ? error : error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

function options(): { assembly?: string; 'fail-after'?: string } {
  try {
    return parseArgs({ options: { assembly: { type: 'string' }, 'fail-after': { type: 'string' } } }).values;
  } catch {
    throw new Error(USAGE);
  }
}

async function synthesizeInto(assemblies: string): Promise<string> {
  console.log('synthesizing the CDK app');
  // Never the directory of an earlier deployment, because functions run from there.
  const output = join(assemblies, new Date().toISOString().replaceAll(/\W/g, '-'));
  mkdirSync(assemblies, { recursive: true });
  const { signal } = new AbortController();
  const projectDir = resolve(import.meta.dirname, '..');
  await synthesize({ projectDir, output, logFile: `${output}.log`, signal })?.done;
  return output;
}

function summaryOf({ status, stacks, reason }: DeploymentOutcome): string {
  const failed = stacks.at(-1)?.name;
  switch (status) {
    case 'deployed':
      return 'deployed';
    case 'rolled-back':
      return `rolled back ${failed}: ${reason}`;
    case 'rollback-failed':
      return `${failed} could not be rolled back: ${reason}`;
  }
}
