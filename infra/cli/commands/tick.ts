import type { Command } from '../command.ts';
import { durationText, shownText } from '../shown-text.ts';

export const tick: Command = {
  name: 'tick',
  words: 'daily|hourly|NAME',
  summary: 'runs now what schedules of that period, or the one of that name, would run',
  async run({ words: [which = ''] }, { aws, screen }) {
    // The SDK takes half a second to load, which no other command needs.
    const { runSchedule, schedulesFor } = await import('../schedules.ts');
    let succeeded = true;
    // One after the other, as their times of day would have it.
    for (const { schedule, clients } of await schedulesFor(await aws(), which)) {
      const began = Date.now();
      const after = () => durationText((Date.now() - began) / 1_000);
      try {
        const outcome = await runSchedule(schedule, clients);
        screen.line(`${screen.paint('green', '✔')} ${schedule.Name}  ${after()}  ${shownText(outcome)}`);
      } catch (cause) {
        succeeded = false;
        const [reason] = (cause as Error).message.split('\n');
        screen.line(`${screen.paint('red', '✘')} ${schedule.Name}  ${after()}  ${shownText(reason ?? '')}`);
      }
    }
    return succeeded;
  },
};
