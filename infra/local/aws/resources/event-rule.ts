import { LOCAL_ACCOUNT, type ResourceFactory } from '../../model.ts';
import type { EventBus } from '../services/events/event-bus.ts';
import { readRule } from '../services/events/event-rule.ts';

/** `AWS::Events::Rule`. */
export function eventRuleResource(bus: EventBus): ResourceFactory {
  return {
    type: 'AWS::Events::Rule',
    async create({ stack, properties, defaultName }, context) {
      const name = String(properties.Name ?? defaultName);
      const arn = `arn:aws:events:${stack.region}:${LOCAL_ACCOUNT}:rule/${name}`;
      const rule = readRule(arn, stack.region, name, properties, context);
      if (rule) bus.put(rule);
      else bus.remove(arn);
      return { ref: name, attributes: { Arn: arn } };
    },
    remove: async ({ attributes }) => bus.remove(String(attributes.Arn)),
  };
}
