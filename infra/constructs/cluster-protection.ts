import { CustomResource, Duration, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { AuroraCluster } from './aurora-cluster.ts';
import type { StrataFunction } from './strata-function.ts';

export interface ClusterProtectionProps {
  readonly clusters: readonly AuroraCluster[];
  readonly deletionProtection: boolean;
  /** Serves `Custom::StrataClusterProtection`; outside of the network, since the API of RDS has no endpoint in it. */
  readonly task: StrataFunction;
  /** Hash of the functions' code: protection that was lifted by hand is set again by the next release. */
  readonly release: string;
}

/**
 * Deletion protection of a stack's clusters, switched on by a custom resource that waits for every other resource of
 * the stack, so it is made last in the stack's constructor. A template that said `DeletionProtection: true` would make a stack that cannot be rolled back:
 * CloudFormation deletes the cluster of a failed creation, and RDS refuses to delete a protected one.
 */
export class ClusterProtection extends Construct {
  constructor(scope: Construct, id: string, { clusters, task, ...props }: ClusterProtectionProps) {
    super(scope, id);
    Grant.addToPrincipal({
      grantee: task,
      actions: ['rds:DescribeDBClusters', 'rds:ModifyDBCluster'],
      resourceArns: clusters.map(({ clusterArn }) => clusterArn),
    });
    const protection = new CustomResource(this, 'Resource', {
      resourceType: 'Custom::StrataClusterProtection',
      serviceToken: task.functionArn,
      serviceTimeout: Duration.minutes(10),
      properties: {
        ClusterIdentifiers: clusters.map(({ identifier }) => identifier),
        DeletionProtection: props.deletionProtection,
        Release: props.release,
      },
    });
    const others = Stack.of(this).node.children.filter((child) => !this.node.scopes.includes(child));
    protection.node.addDependency(...others);
  }
}
