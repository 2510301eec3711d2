import { LOCAL_ACCOUNT, type ResourceFactory } from '../../../model.ts';
import type { ServiceModule } from '../../service.ts';
import type { EventBus } from './event-bus.ts';
import { readRule } from './event-rule.ts';

/** EventBridge: rules of templates on the default bus. It answers nothing on the wire. */
export function events(bus: EventBus): ServiceModule {
  return { resources: [eventRuleResource(bus)], resume: () => bus.open(), stop: () => bus.close() };
}

/** `AWS::Events::Rule`. */
function eventRuleResource(bus: EventBus): ResourceFactory {
  return {
    type: 'AWS::Events::Rule',
    async create({ stack, properties, defaultName }) {
      const name = String(properties.Name ?? defaultName);
      const arn = `arn:aws:events:${stack.region}:${LOCAL_ACCOUNT}:rule/${name}`;
      const rule = readRule(arn, stack.region, name, properties);
      if (rule) bus.put(rule);
      else bus.remove(arn);
      return { ref: name, attributes: { Arn: arn } };
    },
    remove: async ({ attributes }) => bus.remove(String(attributes.Arn)),
  };
}
