import { Stack } from 'aws-cdk-lib';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Construct } from 'constructs';
import type { DataKey } from './data-key.ts';

/** Where alarms of one region go. CloudWatch can only tell a topic of its own region. */
export class AlarmTopic extends Topic {
  constructor(
    scope: Construct,
    id: string,
    props: { readonly key: DataKey; readonly email?: string | undefined },
  ) {
    super(scope, id, { displayName: 'Strata alarms', masterKey: props.key, enforceSSL: true });
    props.key.grantAlarms(Stack.of(this).account);
    if (props.email) this.addSubscription(new EmailSubscription(props.email));
  }
}
