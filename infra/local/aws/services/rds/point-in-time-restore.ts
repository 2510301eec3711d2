/** RestoreDBClusterToPointInTime and CreateDBInstance, with AWS's checks and words. */
import { LOCAL_ACCOUNT, type LocalResource, type PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { Call, Operation, Permission } from '../../service.ts';
import { requestTags, resourceTags, tagsOf } from '../../tags.ts';
import { requireUsable } from './cluster-lifecycle.ts';
import { clusterParameters, resourceIdOf } from './database-cluster.ts';
import { describeCluster, describeInstance, restorableWindow } from './descriptions.ts';
import type { ClusterRecord, RdsStore } from './rds-store.ts';
import { isRestored, type RestoredClusters } from './restored-clusters.ts';

const DEFAULT_PARAMETER_GROUP = 'default.aurora-postgresql17';
const DEFAULT_OPTION_GROUP = 'default:aurora-postgresql-17';
const IDENTIFIER = /^[a-z](?:-?[a-z0-9])*$/;

/** RDS refuses them for Aurora clusters that are not Limitless, whatever their value. */
const LIMITLESS_ONLY = [
  'MonitoringInterval',
  'MonitoringRoleArn',
  'EnablePerformanceInsights',
  'PerformanceInsightsKMSKeyId',
  'PerformanceInsightsRetentionPeriod',
];

export function pointInTimeRestore(
  store: RdsStore,
  restored: RestoredClusters,
  context: PlatformContext,
): Record<string, Operation> {
  const arn = (kind: string, name: string, { region }: Call) =>
    `arn:aws:rds:${region}:${LOCAL_ACCOUNT}:${kind}:${name}`;

  function sourceOf(input: Input, call: Call): ClusterRecord | undefined {
    const identifier = input.text('SourceDBClusterIdentifier');
    if (identifier !== undefined) return store.clusterByIdentifier(identifier, call.region);
    const resourceId = input.text('SourceDbClusterResourceId');
    return [...store.clusters.values()].find(
      (cluster) => cluster.region === call.region && cluster.resourceId === resourceId,
    );
  }

  return {
    RestoreDBClusterToPointInTime: {
      permissions(input, call) {
        const source = sourceOf(input, call);
        const name = input.text('SourceDBClusterIdentifier') ?? '*';
        const action = 'rds:RestoreDBClusterToPointInTime';
        const tags = tagsOf(input);
        const sent = requestTags(tags);
        const created = arn('cluster', input.required('DBClusterIdentifier').toLowerCase(), call);
        const keyId = input.text('KmsKeyId') ?? (source?.properties.KmsKeyId as string | undefined);
        return [
          {
            action,
            resource: source?.arn ?? (name.startsWith('arn:') ? name : arn('cluster', name, call)),
            context: { ...sent, ...resourceTags(source?.tags ?? []) },
          },
          { action, resource: created, context: sent },
          ...[
            arn('cluster-pg', input.text('DBClusterParameterGroupName') ?? DEFAULT_PARAMETER_GROUP, call),
            arn('og', input.text('OptionGroupName') ?? DEFAULT_OPTION_GROUP, call),
            arn('subgrp', input.text('DBSubnetGroupName') ?? 'default', call),
          ].map((resource) => ({ action, resource, context: sent })),
          ...tagging(created, input),
          ...(keyId === undefined ? [] : onKey(keyId, call)),
        ];
      },
      run(input, call) {
        const identifier = input.required('DBClusterIdentifier').toLowerCase();
        if (!IDENTIFIER.test(identifier) || identifier.length > 63) {
          throw new AwsError('InvalidParameterValue', `Invalid database cluster identifier: ${identifier}`);
        }
        const refused = LIMITLESS_ONLY.find((name) => input.has(name));
        if (refused !== undefined) {
          throw new AwsError(
            'InvalidParameterCombination',
            'You can enable Performance Insights or set the Enhanced Monitoring interval only when restoring from a source Aurora Limitless DB cluster',
          );
        }
        const source = sourceOf(input, call);
        if (!source) {
          const name = input.text('SourceDBClusterIdentifier') ?? input.text('SourceDbClusterResourceId');
          throw new AwsError('DBClusterNotFoundFault', `DBCluster ${name} not found.`, { status: 404 });
        }
        requireUsable(source);
        if (store.clusterByIdentifier(identifier, call.region)) {
          throw new AwsError('DBClusterAlreadyExistsFault', `DB Cluster already exists: ${identifier}`);
        }
        const parameterGroup = groupNamed(input, 'DBClusterParameterGroup', call, context);
        const subnetGroup = groupNamed(input, 'DBSubnetGroup', call, context);
        const keyId = input.text('KmsKeyId');
        if (keyId !== undefined && !source.properties.StorageEncrypted) {
          throw new AwsError('InvalidParameterCombination', 'KmsKeyId is only for encrypted DB clusters.');
        }
        const time = timeOf(input, source, context);
        const clusterArn = arn('cluster', identifier, call);
        const { properties } = source;
        const server = context.clusters.byArn(source.arn);
        store.forget(clusterArn);
        const cluster = {
          identifier,
          arn: clusterArn,
          region: call.region,
          resourceId: resourceIdOf('cluster', `${clusterArn} ${Date.now()}`),
          properties: {
            EngineVersion: properties.EngineVersion,
            StorageEncrypted: properties.StorageEncrypted,
            KmsKeyId: keyId ?? properties.KmsKeyId,
            BackupRetentionPeriod: input.integer('BackupRetentionPeriod') ?? properties.BackupRetentionPeriod,
            DeletionProtection: input.boolean('DeletionProtection') ?? false,
            DBClusterParameterGroupName: parameterGroup ?? DEFAULT_PARAMETER_GROUP,
            DBSubnetGroupName: subnetGroup ?? 'default',
            VpcSecurityGroupIds: input.texts('VpcSecurityGroupIds'),
            ServerlessV2ScalingConfiguration:
              input.structure('ServerlessV2ScalingConfiguration')?.members ??
              properties.ServerlessV2ScalingConfiguration,
          },
          tags: tagsOf(input),
          instances: [],
          createdDate: Date.now(),
          restore: {
            sourceArn: source.arn,
            time: time.getTime(),
            parameters: clusterParameters(parameterGroup, call.region, context),
            status: 'creating' as const,
            databaseName: server?.databaseName,
            masterUsername: server?.masterUsername,
          },
        };
        restored.add(cluster);
        return { DBCluster: describeCluster(cluster, store, context) };
      },
    },
    CreateDBInstance: {
      permissions(input, call) {
        const action = 'rds:CreateDBInstance';
        const sent = requestTags(tagsOf(input));
        const instance = arn('db', input.required('DBInstanceIdentifier').toLowerCase(), call);
        const named = input.text('DBClusterIdentifier');
        const cluster = named === undefined ? undefined : store.clusterByIdentifier(named, call.region);
        return [
          { action, resource: instance, context: sent },
          ...[
            ...(named === undefined ? [] : [cluster?.arn ?? arn('cluster', named, call)]),
            arn('og', DEFAULT_OPTION_GROUP, call),
            arn('pg', input.text('DBParameterGroupName') ?? DEFAULT_PARAMETER_GROUP, call),
          ].map((resource) => ({
            action,
            resource,
            context: resource === cluster?.arn ? { ...sent, ...resourceTags(cluster.tags) } : sent,
          })),
          ...tagging(instance, input),
        ];
      },
      run(input, call) {
        const identifier = input.required('DBInstanceIdentifier').toLowerCase();
        if (!IDENTIFIER.test(identifier) || identifier.length > 63) {
          throw new AwsError('InvalidParameterValue', `Invalid database identifier: ${identifier}`);
        }
        const instanceClass = input.required('DBInstanceClass');
        const engine = input.required('Engine');
        const named = input.text('DBClusterIdentifier');
        if (engine !== 'aurora-postgresql' || named === undefined) {
          throw new AwsError(
            'InvalidParameterCombination',
            'Locally, an instance has the engine aurora-postgresql and belongs to a DB cluster.',
          );
        }
        const instances = [...store.clusters.values()]
          .filter(({ region }) => region === call.region)
          .flatMap((cluster) => cluster.instances);
        if (instances.some((one) => one.identifier === identifier)) {
          throw new AwsError('DBInstanceAlreadyExists', `DB instance already exists: ${identifier}`);
        }
        const cluster = store.clusterByIdentifier(named, call.region);
        if (!cluster) {
          throw new AwsError('DBClusterNotFoundFault', `DBCluster ${named} not found.`, { status: 404 });
        }
        requireUsable(cluster);
        if (!isRestored(cluster) || cluster.restore.status !== 'available') {
          throw new AwsError(
            'InvalidDBClusterStateFault',
            isRestored(cluster)
              ? `DB cluster ${cluster.identifier} is not available: ${cluster.restore.reason}`
              : 'Locally, instances of clusters of a template are added by the template.',
          );
        }
        const instance = {
          identifier,
          arn: arn('db', identifier, call),
          tags: tagsOf(input),
          instanceClass,
          creating: true,
        };
        restored.addInstance(cluster, instance);
        return { DBInstance: describeInstance(instance, cluster, context) };
      },
    },
  };
}

/** @throws {AwsError} for a time that cannot be restored, in AWS's words as far as they are known */
function timeOf(input: Input, source: ClusterRecord, context: PlatformContext): Date {
  const text = input.text('RestoreToTime');
  const isClone = input.text('RestoreType') === 'copy-on-write';
  const isLatest = (input.boolean('UseLatestRestorableTime') ?? false) || (isClone && text === undefined);
  if (isLatest === (text !== undefined) || (isClone && text !== undefined)) {
    throw new AwsError(
      'InvalidParameterCombination',
      'Either RestoreToTime or UseLatestRestorableTime must be specified, and not both.',
    );
  }
  const window = restorableWindow(source, context);
  if (!window) {
    throw new AwsError(
      'InvalidDBClusterStateFault',
      `DB cluster ${source.identifier} has no restorable time: it has no base backup yet, does not run, or STRATA_PITR is off.`,
    );
  }
  if (text === undefined) return window.latest;
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw new AwsError('InvalidParameterValue', `Invalid time: ${text}`);
  if (time < window.earliest || time > window.latest) {
    throw new AwsError(
      'InvalidParameterValue',
      `The specified cluster cannot be restored to a time later than ${window.latest.toISOString()} or earlier than ${window.earliest.toISOString()}.`,
    );
  }
  return time;
}

/** The name of the group that the input names. @throws {AwsError} when no template has it */
function groupNamed(
  input: Input,
  kind: 'DBClusterParameterGroup' | 'DBSubnetGroup',
  call: Call,
  context: PlatformContext,
): string | undefined {
  const name = input.text(`${kind}Name`)?.toLowerCase();
  if (name === undefined || name === DEFAULT_PARAMETER_GROUP || name === 'default') return undefined;
  const isNamed = ({ type, ref }: LocalResource) => type === `AWS::RDS::${kind}` && ref === name;
  const exists = [...context.stacks.values()].some(
    ({ region, resources }) => region === call.region && [...resources.values()].some(isNamed),
  );
  if (exists) return name;
  const code = kind === 'DBSubnetGroup' ? 'DBSubnetGroupNotFoundFault' : 'DBClusterParameterGroupNotFound';
  throw new AwsError(code, `${kind} not found: ${name}`, { status: 404 });
}

/** RDS asks for this right as well when tags come along. */
function tagging(resource: string, input: Input): Permission[] {
  const tags = tagsOf(input);
  if (tags.length === 0) return [];
  return [{ action: 'rds:AddTagsToResource', resource, context: requestTags(tags) }];
}

/** RDS uses the customer's key with the rights of the caller. */
function onKey(keyId: string, { region }: Call): Permission[] {
  const resource = keyId.startsWith('arn:') ? keyId : `arn:aws:kms:${region}:${LOCAL_ACCOUNT}:key/${keyId}`;
  const context = { 'kms:ViaService': `rds.${region}.amazonaws.com`, 'kms:CallerAccount': LOCAL_ACCOUNT };
  return ['kms:CreateGrant', 'kms:DescribeKey'].map((action) => ({ action, resource, context }));
}
