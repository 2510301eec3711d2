import type { Command } from '../command.ts';
import { CommandError } from '../errors.ts';
import { durationText } from '../shown-text.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

interface Execution {
  stateMachine: string;
  name: string;
  status: string;
  startedAt: string;
  finishedAt: string | null;
  executionArn: string;
}

/** Of each state machine: Step Functions keeps them for 90 days, and an operator looks for the latest. */
const LATEST = 50;

export const executions: Command = {
  name: 'executions',
  words: '[STATEMACHINE]',
  flags: LISTING_FLAGS,
  summary: 'the latest executions of the workflows, or of one, newest first',
  async run({ words: [machine], flags }, { aws, screen }) {
    const found: Execution[] = [];
    const names = new Set<string>();
    for (const { states } of await aws()) {
      const { ListExecutionsCommand, paginateListStateMachines } = await import('@aws-sdk/client-sfn');
      for await (const { stateMachines = [] } of paginateListStateMachines({ client: states }, {})) {
        for (const { name = '', stateMachineArn } of stateMachines) {
          names.add(name);
          if (machine !== undefined && name !== machine) continue;
          const { executions: latest = [] } = await states.send(
            new ListExecutionsCommand({ stateMachineArn, maxResults: LATEST }),
          );
          found.push(...latest.map((one) => executionOf(name, one)));
        }
      }
    }
    if (machine !== undefined && !names.has(machine)) {
      throw new CommandError(
        `there is no state machine "${machine}": there are ${[...names].sort().join(', ')}`,
      );
    }
    found.sort((a, b) => (a.startedAt > b.startedAt ? -1 : 1));
    showList(screen, flags, found, {
      titles: ['started', 'workflow', 'status', 'time', 'execution'],
      rowOf: (one) => [minute(one.startedAt), one.stateMachine, one.status, timeOf(one), one.executionArn],
    });
    return true;
  },
};

interface ListedExecution {
  name?: string | undefined;
  status?: string | undefined;
  startDate?: Date | undefined;
  stopDate?: Date | undefined;
  executionArn?: string | undefined;
}

function executionOf(
  stateMachine: string,
  { name, status, startDate, stopDate, executionArn }: ListedExecution,
): Execution {
  return {
    stateMachine,
    name: name ?? '',
    status: status ?? '',
    executionArn: executionArn ?? '',
    startedAt: startDate?.toISOString() ?? '',
    finishedAt: stopDate?.toISOString() ?? null,
  };
}

function timeOf({ startedAt, finishedAt }: Execution): string {
  return durationText(((finishedAt ? Date.parse(finishedAt) : Date.now()) - Date.parse(startedAt)) / 1_000);
}
