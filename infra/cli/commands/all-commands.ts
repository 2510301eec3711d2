import { type Command, synopsis } from '../command.ts';
import { abort } from './abort.ts';
import { move } from './move.ts';
import { moves } from './moves.ts';
import { accept, decisions, offers } from './promotion.ts';
import { tenant, tenants } from './tenants.ts';
import { tick } from './tick.ts';
import { usage } from './usage.ts';
import { watch } from './watch.ts';

const help: Command = {
  name: 'help',
  words: '',
  summary: 'this text',
  async run(_given, { screen }) {
    for (const line of helpLines()) screen.line(line);
    return true;
  },
};

export const COMMANDS: readonly Command[] = [
  ...[tenants, tenant, moves, move, watch, abort, usage, decisions, offers, accept, tick],
  help,
];

export function helpLines(): string[] {
  return [
    'usage: npm run strata -- COMMAND',
    '',
    ...COMMANDS.flatMap((command) => [`  ${synopsis(command)}`, `      ${command.summary}`]),
    '',
    'STRATA_API_URL (http://localhost:3000), STRATA_TOKEN, STRATA_DIR (.strata), AWS_ENDPOINT_URL: see docs/cli.md',
  ];
}
