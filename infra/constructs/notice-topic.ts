import { Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Construct } from 'constructs';
import type { DataKey } from './data-key.ts';

export interface NoticeTopicProps {
  readonly topicName: string;
  readonly displayName: string;
  readonly key: DataKey;
  /** The first subscriber. Operators add others. */
  readonly email?: string | undefined;
}

/** An encrypted topic on which functions of this region publish. */
export class NoticeTopic extends Topic {
  readonly #key: DataKey;

  constructor(scope: Construct, id: string, { key, email, ...names }: NoticeTopicProps) {
    super(scope, id, { ...names, masterKey: key, enforceSSL: true });
    this.#key = key;
    if (email) this.addSubscription(new EmailSubscription(email));
  }

  /** May publish, and encrypt with the topic's key, which a publisher needs to. */
  grantNotices(grantee: IGrantable): void {
    Grant.addToPrincipal({ grantee, actions: ['sns:Publish'], resourceArns: [this.topicArn] });
    Grant.addToPrincipal({
      grantee,
      actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
      resourceArns: [this.#key.keyArn],
      conditions: { StringEquals: { 'kms:ViaService': `sns.${Stack.of(this).region}.amazonaws.com` } },
    });
  }
}
