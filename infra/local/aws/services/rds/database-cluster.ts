import { randomUUID } from 'node:crypto';
import {
  LOCAL_ACCOUNT,
  type PlatformContext,
  type ResourceFactory,
  type ResourceRequest,
} from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import { Input } from '../../input.ts';
import { tagsOf } from '../../tags.ts';
import { stableUuid } from '../kms/kms.ts';
import { randomPassword } from '../secrets-manager/random-password.ts';
import { type SecretStore, versionIdOf } from '../secrets-manager/secret-store.ts';
import type { RdsStore } from './rds-store.ts';

/** `AWS::RDS::DBCluster`: one real PostgreSQL server. */
export function clusterResource(
  store: RdsStore,
  secrets: SecretStore,
  isRestarted: (stackArn: string) => boolean,
): ResourceFactory {
  return {
    type: 'AWS::RDS::DBCluster',
    async create(request, context) {
      const { stack, properties, defaultName } = request;
      const identifier = String(properties.DBClusterIdentifier ?? defaultName).toLowerCase();
      const arn = `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:cluster:${identifier}`;
      const resourceId = resourceIdOf('cluster', arn);
      if (store.isDeleted(arn) && isRestarted(stack.arn)) {
        // The platform may have ended while the data was being erased.
        await context.clusters.remove(arn);
        return {
          ref: identifier,
          attributes: { DBClusterArn: arn, DBClusterResourceId: resourceId, ...NOWHERE },
        };
      }
      if (!isRestarted(stack.arn) && store.isDeleted(arn)) store.forget(arn);
      const username = String(properties.MasterUsername ?? 'postgres');
      const managed = properties.ManageMasterUserPassword
        ? managedSecret(secrets, request, identifier, username)
        : undefined;
      const password = managed?.password ?? (properties.MasterUserPassword as string | undefined);
      if (password === undefined) throw new ResourceFailure('Property MasterUserPassword cannot be empty.');
      const server = await context.clusters.create({
        clusterIdentifier: identifier,
        arn,
        databaseName: String(properties.DatabaseName ?? 'postgres'),
        masterUsername: username,
        masterPassword: password,
        parameters: clusterParameters(properties.DBClusterParameterGroupName, stack.region, context),
      });
      store.clusters.set(arn, {
        identifier,
        arn,
        region: stack.region,
        resourceId,
        properties,
        tags: tagsOf(new Input(properties)),
        instances: store.clusters.get(arn)?.instances ?? [],
        masterSecretArn: managed?.arn,
        createdDate: store.clusters.get(arn)?.createdDate ?? Date.now(),
      });
      return {
        ref: identifier,
        attributes: {
          DBClusterArn: arn,
          DBClusterResourceId: resourceId,
          'Endpoint.Address': server.host,
          'Endpoint.Port': String(server.port),
          'ReadEndpoint.Address': server.host,
          ...(managed ? { 'MasterUserSecret.SecretArn': managed.arn } : {}),
        },
      };
    },
    async remove(resource, context) {
      const arn = String(resource.attributes.DBClusterArn);
      const cluster = store.clusters.get(arn);
      if (cluster && store.isProtected(cluster)) {
        throw new ResourceFailure(
          'Cannot delete protected Cluster, please disable deletion protection and try again. (Service: Rds, Status Code: 400)',
        );
      }
      const secret = cluster?.masterSecretArn && secrets.find(cluster.masterSecretArn, cluster.region);
      if (secret) secrets.remove(secret);
      store.clusters.delete(arn);
      store.forget(arn);
      await context.clusters.remove(arn);
    },
  };
}

/** Addresses of a cluster that an API call has deleted: its stack still refers to them. */
const NOWHERE = {
  'Endpoint.Address': '127.0.0.1',
  'Endpoint.Port': '0',
  'ReadEndpoint.Address': '127.0.0.1',
};

/** `AWS::RDS::DBInstance`: all instances of a cluster are its one server; the first is the writer. */
export function instanceResource(
  store: RdsStore,
  isRestarted: (stackArn: string) => boolean,
): ResourceFactory {
  return {
    type: 'AWS::RDS::DBInstance',
    async create({ stack, properties, defaultName }, context) {
      const identifier = String(properties.DBInstanceIdentifier ?? defaultName).toLowerCase();
      const arn = `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:db:${identifier}`;
      if (store.isDeleted(arn) && isRestarted(stack.arn))
        return { ref: identifier, attributes: { DBInstanceArn: arn, ...NOWHERE } };
      store.forget(arn);
      const cluster = store.clusterByIdentifier(String(properties.DBClusterIdentifier), stack.region);
      if (!cluster)
        throw new ResourceFailure(`DBCluster ${String(properties.DBClusterIdentifier)} not found.`);
      if (!cluster.instances.some((one) => one.arn === arn)) {
        const instanceClass = String(properties.DBInstanceClass);
        cluster.instances.push({ identifier, arn, instanceClass, tags: tagsOf(new Input(properties)) });
      }
      return {
        ref: identifier,
        attributes: {
          DBInstanceArn: arn,
          DbiResourceId: resourceIdOf('db', arn),
          'Endpoint.Address': '127.0.0.1',
          'Endpoint.Port': String(context.clusters.byArn(cluster.arn)?.port ?? 5432),
        },
      };
    },
    async remove(resource) {
      for (const cluster of store.clusters.values()) {
        cluster.instances = cluster.instances.filter((one) => one.arn !== resource.attributes.DBInstanceArn);
      }
      store.forget(String(resource.attributes.DBInstanceArn));
    },
  };
}

/** The secret that RDS itself manages for the master user. */
function managedSecret(
  secrets: SecretStore,
  { stack, properties }: ResourceRequest,
  identifier: string,
  username: string,
): { arn: string; password: string } {
  const name = `rds!cluster-${stableUuid(`${stack.region} ${identifier}`)}`;
  let secret = secrets.find(name, stack.region);
  if (!secret) {
    const { KmsKeyId } = (properties.MasterUserSecret ?? {}) as { KmsKeyId?: string };
    secret = secrets.create({
      name,
      region: stack.region,
      description: `Secret associated with primary RDS DB cluster: ${identifier}`,
      kmsKeyId: KmsKeyId,
      tags: [],
    });
    const password = randomPassword({ length: 28, excludeCharacters: '\'"@/\\ :' });
    const secretString = JSON.stringify({ username, password });
    secrets.addVersion(secret, randomUUID(), { secretString }, ['AWSCURRENT']);
    secrets.save();
  }
  const current = secret.versions[versionIdOf(secret, 'AWSCURRENT') ?? '']?.secretString ?? '{}';
  return { arn: secret.arn, password: String((JSON.parse(current) as { password?: string }).password) };
}

/** The immutable id of a cluster or an instance. */
export function resourceIdOf(kind: 'cluster' | 'db', name: string): string {
  return `${kind}-${stableUuid(name).replaceAll('-', '').slice(0, 26).toUpperCase()}`;
}

/** Of the DB cluster parameter group of that name; none where no template has it. */
export function clusterParameters(
  groupName: unknown,
  region: string,
  context: PlatformContext,
): Record<string, string> {
  for (const stack of context.stacks.values()) {
    if (stack.region !== region) continue;
    for (const resource of stack.resources.values()) {
      if (resource.type !== 'AWS::RDS::DBClusterParameterGroup' || resource.ref !== groupName) continue;
      const parameters = (resource.properties.Parameters ?? {}) as Record<string, unknown>;
      return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, String(value)]));
    }
  }
  return {};
}

/** Subnet and parameter groups: names that clusters refer to. A group cannot be deleted while a cluster uses it. */
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

/** The property of a cluster that refers to a group of the type. */
const CLUSTER_PROPERTIES: Record<string, string> = {
  'AWS::RDS::DBSubnetGroup': 'DBSubnetGroupName',
  'AWS::RDS::DBClusterParameterGroup': 'DBClusterParameterGroupName',
};
