import { LOCAL_ACCOUNT, type ResourceFactory } from '../../model.ts';

/** Subnet and parameter groups: names that clusters refer to. */
export function databaseGroupResources(): ResourceFactory[] {
  return [
    groupResource('AWS::RDS::DBSubnetGroup', 'DBSubnetGroupName', 'subgrp'),
    groupResource('AWS::RDS::DBClusterParameterGroup', 'DBClusterParameterGroupName', 'cluster-pg'),
  ];
}

function groupResource(type: string, nameProperty: string, kind: string): ResourceFactory {
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
  };
}
