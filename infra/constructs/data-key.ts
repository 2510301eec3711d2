import { RemovalPolicy } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';

/**
 * The customer-managed key of one stack: clusters, secrets, backups and the alarm topic. Retained, because without it
 * their data is unreadable.
 */
export class DataKey extends Key {
  /** @param props `multiRegion`: it can have copies in other regions. A key never becomes one. */
  constructor(
    scope: Construct,
    id: string,
    props: { readonly description: string; readonly multiRegion?: boolean },
  ) {
    super(scope, id, {
      ...props,
      enableKeyRotation: true,
      removalPolicy: RemovalPolicy.RETAIN,
    });
  }

  /** Allows CloudWatch alarms of this account to publish to a topic that this key encrypts. */
  grantAlarms(account: string): void {
    this.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AlarmsToEncryptedTopic',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:SourceAccount': account } },
      }),
    );
  }

  /** Allows EventBridge to encrypt the events of a bus, and of its archive, with this key. */
  grantEventBus(busArn: string, account: string): void {
    const principals = [new ServicePrincipal('events.amazonaws.com')];
    this.addToResourcePolicy(
      new PolicyStatement({
        sid: 'EventsOfBus',
        principals,
        actions: ['kms:Decrypt', 'kms:GenerateDataKey', 'kms:ReEncrypt*'],
        resources: ['*'],
        conditions: {
          StringEquals: {
            'aws:SourceAccount': account,
            'kms:EncryptionContext:aws:events:event-bus:arn': busArn,
          },
        },
      }),
    );
    this.addToResourcePolicy(
      new PolicyStatement({
        sid: 'EventsDescribeKey',
        principals,
        actions: ['kms:DescribeKey'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:SourceAccount': account } },
      }),
    );
  }
}
