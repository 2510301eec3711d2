import { CustomResource, Duration, Stack } from 'aws-cdk-lib';
import { Grant } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import type { AuroraCluster } from './aurora-cluster.ts';
import type { StrataFunction } from './strata-function.ts';

export interface ClusterProtectionProps {
  readonly clusters: readonly AuroraCluster[];
  readonly deletionProtection: boolean;
  /**
   * Serves `Custom::StrataClusterProtection`; outside of the network, because the network has no endpoint for the API
   * of RDS.
   */
  readonly task: StrataFunction;
  /** Hash of the functions' code: the next release sets protection again that was switched off manually. */
  readonly release: string;
}

/**
 * Deletion protection of a stack's clusters, switched on by a custom resource that depends on every other resource of
 * the stack; make it last in the stack's constructor. `DeletionProtection: true` in the template would prevent a
 * rollback: CloudFormation deletes the cluster of a failed creation, and RDS refuses to delete a protected one.
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
