import { CfnDeletionPolicy, SecretValue, Stack } from 'aws-cdk-lib';
import { Metric } from 'aws-cdk-lib/aws-cloudwatch';
import { CfnServerlessCache, CfnUser, CfnUserGroup } from 'aws-cdk-lib/aws-elasticache';
import { CfnSecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { CACHE_ACCESS, CACHE_USER } from '../../functions/contracts/cache-user.ts';
import { cellSecretName } from '../../functions/contracts/names.ts';
import type { CacheConfig } from '../config.ts';
import { acknowledgeFinding } from './acknowledge-finding.ts';
import { raiseAlarm } from './alarms.ts';

export interface CellCacheProps {
  readonly cellId: string;
  readonly cache: CacheConfig;
  readonly subnetIds: readonly string[];
  readonly securityGroupId: string;
  /** Key that encrypts the cache and its secrets. */
  readonly keyArn: string;
  readonly alarmTopicArn: string;
}

export const VALKEY_PORT = 6379;

/**
 * The cache of one cell: ElastiCache Serverless for Valkey, reached by TLS only. It has copies of the tenants' rows for
 * 30 seconds at most, and the buckets of the limits; no snapshots. Functions find it by two secrets with fixed names, so
 * no stack refers to this one: the login, and the address.
 */
export class CellCache extends Construct {
  constructor(scope: Construct, id: string, props: CellCacheProps) {
    super(scope, id);
    const { cellId, cache, keyArn } = props;
    const name = `strata-${cellId}`;
    const login = this.#secret('Login', keyArn, {
      name: cellSecretName(cellId, 'cache'),
      description: `${cellId}: login of functions to the cache`,
      // Never change these for an existing secret: the user of the cache would keep the former password.
      generateSecretString: {
        secretStringTemplate: Stack.of(this).toJsonString({ username: CACHE_USER }),
        generateStringKey: 'password',
        passwordLength: 40,
        excludePunctuation: true,
      },
    });
    const user = new CfnUser(this, 'User', {
      engine: 'valkey',
      userId: `${name}-cache`,
      userName: CACHE_USER,
      accessString: CACHE_ACCESS,
      // A dynamic reference: no template contains the password.
      authenticationMode: {
        Type: 'password',
        Passwords: [SecretValue.secretsManager(login.ref, { jsonField: 'password' }).unsafeUnwrap()],
      },
    });
    const group = new CfnUserGroup(this, 'Users', {
      engine: 'valkey',
      userGroupId: `${name}-cache`,
      userIds: [user.ref],
    });
    const server = new CfnServerlessCache(this, 'Server', {
      engine: 'valkey',
      majorEngineVersion: '8',
      serverlessCacheName: name,
      description: `Strata: cache of cell ${cellId}`,
      subnetIds: [...props.subnetIds],
      securityGroupIds: [props.securityGroupId],
      kmsKeyId: keyArn,
      userGroupId: group.ref,
      cacheUsageLimits: {
        dataStorage: { unit: 'GB', maximum: cache.maxStorageGb },
        ecpuPerSecond: { maximum: cache.maxEcpuPerSecond },
      },
    });
    this.#secret('Address', keyArn, {
      name: cellSecretName(cellId, 'cache-address'),
      description: `${cellId}: host and port of the cache`,
      secretString: Stack.of(this).toJsonString({
        host: server.attrEndpointAddress,
        port: server.attrEndpointPort,
      }),
    });
    raiseAlarm(this, 'Throttled', {
      metric: new Metric({
        namespace: 'AWS/ElastiCache',
        metricName: 'ThrottledCmds',
        dimensionsMap: { clusterId: name },
        statistic: 'Sum',
      }),
      threshold: 1,
      description: `The cache of cell ${cellId} refuses commands: it is at maxEcpuPerSecond. Requests bypass it, and tenants' limits of requests are not enforced meanwhile.`,
      topicArn: props.alarmTopicArn,
    });
  }

  #secret(
    id: string,
    keyArn: string,
    props: Omit<ConstructorParameters<typeof CfnSecret>[2] & object, 'kmsKeyId'>,
  ): CfnSecret {
    const secret = new CfnSecret(this, id, { ...props, kmsKeyId: keyArn });
    // The cache is nothing but copies: its secrets go with it.
    secret.cfnOptions.deletionPolicy = CfnDeletionPolicy.DELETE;
    acknowledgeFinding(
      secret,
      'SMG4',
      'An address does not rotate; a new password has to reach the user of the cache and the functions together, which a deployment does.',
    );
    return secret;
  }
}
