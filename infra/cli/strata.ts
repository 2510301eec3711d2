/**
 * `npm run strata -- COMMAND …`: the operator's command line. It uses the public HTTP API and the AWS SDK, so it works
 * against AWS as against the local platform. Exit codes: 0 success, 1 failure, 2 wrong usage.
 */
import { ApiClient } from './api-client.ts';
import { readArguments, synopsis } from './command.ts';
import { COMMANDS } from './commands/all-commands.ts';
import { UsageError } from './errors.ts';
import { explainFailure } from './explain-failure.ts';
import { screenOn } from './screen.ts';
import { readSettings, type Settings } from './settings.ts';
import { callerToken } from './sign-in/caller-token.ts';

let settings: Settings | undefined;
// The reader of a pipe (`| head`) may close it early; that is not an error.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code === 'EPIPE') process.exit(0);
  throw cause;
});
try {
  process.exitCode = (await run(process.argv.slice(2))) ? 0 : 1;
} catch (cause) {
  console.error(process.env.DEBUG ? cause : explainFailure(cause, settings));
  process.exitCode = cause instanceof UsageError ? 2 : 1;
}

async function run(argv: readonly string[]): Promise<boolean> {
  const [first = 'help', ...rest] = argv;
  const name = first === '--help' || first === '-h' ? 'help' : first;
  const command = COMMANDS.find((one) => one.name === name);
  if (!command) {
    const names = COMMANDS.map((one) => one.name).join(', ');
    throw new UsageError(`there is no command "${name}": there are ${names}`);
  }
  if (rest.includes('--help')) {
    console.log(`usage: strata ${synopsis(command)}\n  ${command.summary}`);
    return true;
  }
  const given = readArguments(command, rest);
  const found = readSettings(process.env);
  settings = found;
  return command.run(given, {
    api: async () => new ApiClient(found.apiUrl, await callerToken(found)),
    aws: async () => (await import('./aws-clients.ts')).awsClients(found, process.env),
    screen: screenOn(process.stdout),
    settings: found,
  });
}
