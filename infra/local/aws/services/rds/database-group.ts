import { LOCAL_ACCOUNT, type ResourceFactory } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import type { RdsStore } from './rds-store.ts';

/** Subnet and parameter groups: names that clusters refer to, and that cannot be deleted while one does. */
export function databaseGroupResources(store: RdsStore): ResourceFactory[] {
  return [
    groupResource(store, 'AWS::RDS::DBSubnetGroup', 'DBSubnetGroupName', 'subgrp'),
    groupResource(store, 'AWS::RDS::DBClusterParameterGroup', 'DBClusterParameterGroupName', 'cluster-pg'),
  ];
}

function groupResource(store: RdsStore, type: string, nameProperty: string, kind: string): ResourceFactory {
  return {
    type,
    async create({ stack, properties, defaultName }) {
      const name = String(properties[nameProperty] ?? defaultName).toLowerCase();
      return {
        ref: name,
        attributes: {
          DBSubnetGroupArn: `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:${kind}:${name}`,
          DBClusterParameterGroupName: name,
        },
      };
    },
    async remove({ ref, stack }) {
      const region = stack.split(':')[3];
      const user = [...store.clusters.values()].find(
        (cluster) =>
          cluster.region === region &&
          String(cluster.properties[CLUSTER_PROPERTIES[type] ?? '']).toLowerCase() === ref,
      );
      if (!user) return;
      throw new ResourceFailure(
        `Cannot delete ${ref} because the database cluster ${user.identifier} is still using it. (Service: Rds, Status Code: 400)`,
      );
    },
  };
}

/** The property of a cluster that names a group of the type. */
const CLUSTER_PROPERTIES: Record<string, string> = {
  'AWS::RDS::DBSubnetGroup': 'DBSubnetGroupName',
  'AWS::RDS::DBClusterParameterGroup': 'DBClusterParameterGroupName',
};
