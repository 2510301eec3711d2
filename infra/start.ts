import { resolve } from 'node:path';
import { startPlatform } from './local/platform.ts';

/** Minimal: environment and flags, then the platform until a signal. */
const projectDir = resolve(import.meta.dirname, '..');
const controller = new AbortController();
const started = startPlatform({
  projectDir,
  stateDir: resolve(process.env.STRATA_DIR || '.strata'),
  apiPort: Number(process.env.API_PORT || 3000),
  awsPort: Number(process.env.AWS_PORT || 4566),
  waitScale: Number(process.env.WAIT_SCALE || 0.02),
  fresh: process.argv.includes('--fresh'),
  echoFunctionLogs: process.env.LOG === '1',
  signal: controller.signal,
  log: (line) => console.log(line),
});
const stop = async () => {
  controller.abort();
  await started.then((platform) => platform.stop()).catch(() => {});
  process.exit(0);
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop());
try {
  const platform = await started;
  platform.markReady();
  console.log(`ready API ${platform.apiUrl}  AWS ${platform.awsUrl}`);
} catch (error) {
  if (!controller.signal.aborted) {
    console.error(process.env.DEBUG ? error : error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
