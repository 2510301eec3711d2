import { Stack } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Construct } from 'constructs';
import type { DataKey } from './data-key.ts';

/** Where alarms of one region go. CloudWatch can only tell a topic of its own region. */
export class AlarmTopic extends Topic {
  constructor(
    scope: Construct,
    id: string,
    { key, email }: { readonly key: DataKey; readonly email?: string | undefined },
  ) {
    super(scope, id, { displayName: 'Strata alarms', masterKey: key, enforceSSL: true });
    const { account } = Stack.of(this);
    key.grantAlarms(account);
    // Demanding TLS replaces the topic's default policy, and with it the permission that alarms live on.
    this.addToResourcePolicy(
      new PolicyStatement({
        sid: 'Alarms',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': account } },
      }),
    );
    if (email) this.addSubscription(new EmailSubscription(email));
  }
}
