import { setTimeout as delay } from 'node:timers/promises';
import type { SFNClient } from '@aws-sdk/client-sfn';
import type { Command } from '../command.ts';
import { CommandError } from '../errors.ts';
import type { Screen } from '../screen.ts';
import { counted, shownText } from '../shown-text.ts';

/** Output of an execution of `registry-reconcile`. */
interface Found {
  readonly compared: number;
  readonly total: number;
  readonly mended: number;
  /** The first 200 of `total`. */
  readonly differences: readonly {
    readonly tenantId: string | null;
    readonly kind: string;
    readonly says: string;
    readonly mend: string | null;
    readonly outcome: 'found' | 'mended' | 'left';
  }[];
}

const MACHINE = 'registry-reconcile';
const POLL_MS = 500;

export const reconcile: Command = {
  name: 'reconcile',
  words: '',
  flags: ['apply', 'register-lost'],
  summary:
    'compares each region’s registry with its databases and backups; --apply prints the differences, then corrects them; --register-lost also registers tenants that only have backups',
  async run({ flags }, { aws, screen }) {
    let whole = true;
    const registerLost = flags.has('register-lost');
    for (const { states } of await aws()) {
      const stateMachineArn = await machineOf(states);
      const seen = await runReconcile(states, stateMachineArn, { apply: false, registerLost });
      show(screen, seen);
      if (!flags.has('apply')) {
        whole &&= seen.total === 0;
        continue;
      }
      if (seen.total === 0) continue;
      const after = await runReconcile(states, stateMachineArn, { apply: true, registerLost });
      screen.line('');
      show(screen, after);
      whole &&= after.mended === after.total;
    }
    return whole;
  },
};

function show(screen: Screen, { compared, total, mended, differences }: Found): void {
  for (const { tenantId, kind, says, mend, outcome } of differences) {
    const sign =
      outcome === 'mended' ? screen.paint('green', '✔ mended') : screen.paint('yellow', `! ${outcome}`);
    screen.line(`${sign}  ${tenantId ?? 'database'}  ${kind}`);
    screen.line(`    ${shownText(says)}`);
    screen.line(`    ${mend === null ? 'Nothing is changed here.' : shownText(mend)}`);
  }
  if (total > differences.length) {
    screen.line(`… and ${counted(total - differences.length, 'more difference')} in the log of ${MACHINE}`);
  }
  const tenants = `${counted(compared, 'tenant')} compared`;
  if (total === 0) screen.line(`no difference, ${tenants}`);
  else screen.line(`${counted(total, 'difference')}, ${mended} mended, ${tenants}`);
}

async function machineOf(states: SFNClient): Promise<string> {
  const { paginateListStateMachines } = await import('@aws-sdk/client-sfn');
  for await (const { stateMachines = [] } of paginateListStateMachines({ client: states }, {})) {
    const found = stateMachines.find(({ name }) => name === MACHINE)?.stateMachineArn;
    if (found) return found;
  }
  throw new CommandError(`there is no state machine "${MACHINE}"`);
}

/** @throws {CommandError} the execution did not succeed. */
async function runReconcile(
  states: SFNClient,
  stateMachineArn: string,
  input: { readonly apply: boolean; readonly registerLost: boolean },
): Promise<Found> {
  const { DescribeExecutionCommand, StartExecutionCommand } = await import('@aws-sdk/client-sfn');
  const { executionArn } = await states.send(
    new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) }),
  );
  for (;;) {
    const { status, output, error, cause } = await states.send(
      new DescribeExecutionCommand({ executionArn }),
    );
    if (status === 'SUCCEEDED') return JSON.parse(output ?? '{}') as Found;
    if (status !== 'RUNNING') {
      throw new CommandError(`${executionArn} has ${status}: ${error ?? ''} ${cause ?? ''}`.trim());
    }
    await delay(POLL_MS);
  }
}
