import { type Command, synopsis } from '../command.ts';
import { alerts } from './alerts.ts';
import { backup, backups } from './backups.ts';
import { cells } from './cells.ts';
import { advice, costs, fleet, usage } from './costs.ts';
import { credentialRotations, rotateCredentials } from './credentials.ts';
import { executions } from './executions.ts';
import { exports, exportTenant } from './exports.ts';
import { move } from './move.ts';
import { abort, moves, watch } from './moves.ts';
import { cancelOffboarding, certificate, offboard, offboarding } from './offboarding.ts';
import { onboard } from './onboard.ts';
import { accept, decisions, decline, offers } from './promotion.ts';
import { reconcile } from './reconcile.ts';
import { residency } from './residency.ts';
import { restore, restores, undo } from './restores.ts';
import { revive } from './revive.ts';
import { rollouts } from './rollouts.ts';
import { rotate, rotations } from './rotations.ts';
import { login, logout, token, whoami } from './sign-in.ts';
import { hold, release, resume, suspend, tenant, tenants, users } from './tenants.ts';
import { tick } from './tick.ts';

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
  tenants,
  tenant,
  onboard,
  suspend,
  resume,
  hold,
  release,
  users,
  cells,
  alerts,
  fleet,
  moves,
  move,
  watch,
  abort,
  backup,
  backups,
  restore,
  restores,
  undo,
  reconcile,
  revive,
  exportTenant,
  exports,
  offboard,
  offboarding,
  cancelOffboarding,
  certificate,
  usage,
  costs,
  advice,
  residency,
  decisions,
  offers,
  accept,
  decline,
  rotate,
  rotations,
  rotateCredentials,
  credentialRotations,
  rollouts,
  executions,
  tick,
  login,
  logout,
  whoami,
  token,
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
