import { LOCAL_ACCOUNT, type ResourceFactory } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import type { Fauxqs, Stores } from '../fauxqs.ts';

/** `AWS::SNS::Topic`, its subscriptions, and its policies, which {@link Targets} reads from the stacks. */
export function topicResources(fauxqs: Fauxqs): ResourceFactory[] {
  return [
    {
      type: 'AWS::SNS::Topic',
      async create({ stack: { region }, properties, defaultName }) {
        const name = String(properties.TopicName ?? defaultName);
        if (!/^[\w-]{1,256}$/.test(name)) {
          throw new ResourceFailure(`Invalid parameter: Topic Name ${name} (locally, also not FIFO)`);
        }
        const arn = `arn:aws:sns:${region}:${LOCAL_ACCOUNT}:${name}`;
        const inline = (properties.Subscription ?? []) as { Protocol: string; Endpoint: string }[];
        await fauxqs.declare((stores) => {
          if (!stores.sns.topics.has(arn)) stores.sns.createTopic(name, undefined, undefined, region);
          for (const { Protocol, Endpoint } of inline) subscribe(stores, arn, Protocol, Endpoint);
        });
        return { ref: arn, attributes: { TopicArn: arn, TopicName: name } };
      },
      async remove({ ref }) {
        (await fauxqs.stores()).sns.deleteTopic(ref);
      },
    },
    {
      type: 'AWS::SNS::Subscription',
      async create({ properties, defaultName }) {
        const topicArn = String(properties.TopicArn);
        const { Protocol, Endpoint, FilterPolicy, FilterPolicyScope } = properties;
        const attributes = {
          ...(FilterPolicy !== undefined && { FilterPolicy: JSON.stringify(FilterPolicy) }),
          ...(FilterPolicyScope !== undefined && { FilterPolicyScope: String(FilterPolicyScope) }),
        };
        await fauxqs.declare((stores) =>
          subscribe(stores, topicArn, String(Protocol), String(Endpoint), attributes),
        );
        return { ref: `${topicArn}:${defaultName}`, attributes: {} };
      },
      async remove({ properties: { TopicArn, Protocol, Endpoint } }) {
        unsubscribe(await fauxqs.stores(), String(TopicArn), String(Protocol), String(Endpoint));
      },
    },
    {
      type: 'AWS::SNS::TopicPolicy',
      create: async ({ defaultName }) => ({ ref: defaultName, attributes: { Id: defaultName } }),
    },
  ];
}

/** Replaces a subscription of the same endpoint, whose attributes may have changed. */
function subscribe(
  stores: Stores,
  topicArn: string,
  protocol: string,
  endpoint: string,
  attributes?: Record<string, string>,
): void {
  unsubscribe(stores, topicArn, protocol, endpoint);
  stores.sns.subscribe(topicArn, protocol, endpoint, attributes);
}

function unsubscribe({ sns }: Stores, topicArn: string, protocol: string, endpoint: string): void {
  for (const arn of [...(sns.topics.get(topicArn)?.subscriptionArns ?? [])]) {
    const known = sns.subscriptions.get(arn);
    if (known?.protocol === protocol && known.endpoint === endpoint) sns.unsubscribe(arn);
  }
}
