import { LOCAL_ACCOUNT, type Properties, type ResourceFactory } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import { parseScheduleExpression } from './schedule-expression.ts';
import type { ScheduleRunner } from './schedule-runner.ts';
import { readTarget } from './schedule-target.ts';
import { isTimeZone } from './time-zone.ts';

/** `AWS::Scheduler::Schedule` and `AWS::Scheduler::ScheduleGroup`. */
export function scheduleResources(runner: ScheduleRunner): ResourceFactory[] {
  return [
    {
      type: 'AWS::Scheduler::Schedule',
      async create({ stack, properties, defaultName }) {
        const name = String(properties.Name ?? defaultName);
        const groupName = String(properties.GroupName ?? 'default');
        const timeZone = String(properties.ScheduleExpressionTimezone ?? 'UTC');
        if (!isTimeZone(timeZone)) throw new ResourceFailure(`there is no time zone ${timeZone}`);
        const expressionText = String(properties.ScheduleExpression);
        const arn = `arn:aws:scheduler:${stack.region}:${LOCAL_ACCOUNT}:schedule/${groupName}/${name}`;
        const definition = {
          arn,
          name,
          groupName,
          region: stack.region,
          description: properties.Description as string | undefined,
          expressionText,
          expression: parseScheduleExpression(expressionText),
          timeZone,
          enabled: properties.State !== 'DISABLED',
          startDate: date(properties.StartDate),
          endDate: date(properties.EndDate),
          target: readTarget((properties.Target ?? {}) as Properties),
          flexibleTimeWindow: properties.FlexibleTimeWindow,
        };
        runner.put(definition, Date.now());
        return { ref: name, attributes: { Arn: arn } };
      },
      remove: async ({ attributes }) => runner.remove(String(attributes.Arn)),
    },
    {
      type: 'AWS::Scheduler::ScheduleGroup',
      async create({ stack, properties, defaultName }) {
        const ref = String(properties.Name ?? defaultName);
        const Arn = `arn:aws:scheduler:${stack.region}:${LOCAL_ACCOUNT}:schedule-group/${ref}`;
        return { ref, attributes: { Arn } };
      },
    },
  ];
}

function date(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const instant = Date.parse(String(value));
  if (Number.isNaN(instant)) throw new ResourceFailure(`"${String(value)}" is no date`);
  return instant;
}
