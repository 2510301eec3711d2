import {
  LOCAL_ACCOUNT,
  type LocalResource,
  type PlatformContext,
  type ResourceFactory,
} from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import { Input } from '../../input.ts';
import { tagsOf } from '../../tags.ts';
import { stableUuid } from '../kms/kms.ts';
import type { ProxyLogins } from './proxy-logins.ts';

import type { ProxyAuth, RdsStore } from './rds-store.ts';

/**
 * `AWS::RDS::DBProxy`: the cluster's own server under another name. As in AWS, a deployment sends the template's Auth
 * list and so erases what was registered at run time; only a run-time stack that is started again keeps it.
 */
export function proxyResource(
  store: RdsStore,
  logins: ProxyLogins,
  isRestarted: (stackArn: string) => boolean,
): ResourceFactory {
  return {
    type: 'AWS::RDS::DBProxy',
    async create({ stack, properties, defaultName }, context) {
      const name = String(properties.DBProxyName ?? defaultName).toLowerCase();
      const id = stableUuid(`${stack.arn} ${name}`).replaceAll('-', '').slice(0, 17);
      const arn = `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:db-proxy:prx-0${id}`;
      if (store.isDeleted(arn) && isRestarted(stack.arn))
        return { ref: name, attributes: { DBProxyArn: arn, Endpoint: '127.0.0.1', VpcId: 'vpc-local' } };
      store.forget(arn);
      const known = store.findProxy(name, stack.region);
      if (known && known.arn !== arn) {
        throw new ResourceFailure(
          `Resource handler returned message: "DB Proxy ${name} already exists" (HandlerErrorCode: AlreadyExists)`,
        );
      }
      const subnetIds = (properties.VpcSubnetIds as string[] | undefined) ?? [];
      const vpcId = vpcOf(subnetIds[0], stack.region, context);
      const input = new Input(properties);
      const now = Date.now();
      store.addProxy(
        {
          name,
          arn,
          region: stack.region,
          auth: input.inputs('Auth').map(proxyAuth),
          roleArn: String(properties.RoleArn),
          requireTls: properties.RequireTLS === true,
          debugLogging: properties.DebugLogging === true,
          idleClientTimeout: Number(properties.IdleClientTimeout ?? 1800),
          vpcId,
          subnetIds,
          securityGroupIds: (properties.VpcSecurityGroupIds as string[] | undefined) ?? [],
          tags: tagsOf(input),
          createdDate: now,
          updatedDate: now,
          busyUntil: 0,
        },
        isRestarted(stack.arn),
      );
      await logins.enforce(name, stack.region);
      return { ref: name, attributes: { DBProxyArn: arn, Endpoint: '127.0.0.1', VpcId: vpcId } };
    },
    async remove(resource) {
      const arn = String(resource.attributes.DBProxyArn);
      store.removeProxy(arn);
      logins.forget(arn);
      store.forget(arn);
    },
  };
}

/** `AWS::RDS::DBProxyEndpoint`: one more name of the proxy, and so of the cluster's one server. */
export function proxyEndpointResource(
  store: RdsStore,
  isRestarted: (stackArn: string) => boolean,
): ResourceFactory {
  return {
    type: 'AWS::RDS::DBProxyEndpoint',
    async create({ stack, properties, defaultName }) {
      const name = String(properties.DBProxyEndpointName ?? defaultName).toLowerCase();
      const id = stableUuid(`${stack.arn} ${name}`).replaceAll('-', '').slice(0, 17);
      const arn = `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:db-proxy-endpoint:prx-endpoint-0${id}`;
      const made = {
        ref: name,
        attributes: {
          DBProxyEndpointArn: arn,
          Endpoint: '127.0.0.1',
          IsDefault: false,
          TargetRole: properties.TargetRole,
        },
      };
      if (store.isDeleted(arn) && isRestarted(stack.arn)) return made;
      store.forget(arn);
      const proxyName = String(properties.DBProxyName);
      const proxy = store.findProxy(proxyName, stack.region);
      if (!proxy) throw new ResourceFailure(`DB proxy ${proxyName} doesn't exist.`);
      store.proxyEndpoints.set(arn, {
        name,
        arn,
        region: stack.region,
        proxyName,
        targetRole: String(properties.TargetRole ?? 'READ_WRITE'),
        vpcId: proxy.vpcId,
        subnetIds: (properties.VpcSubnetIds as string[] | undefined) ?? [],
        securityGroupIds: (properties.VpcSecurityGroupIds as string[] | undefined) ?? [],
        tags: tagsOf(new Input(properties)),
        createdDate: Date.now(),
      });
      return made;
    },
    async remove(resource) {
      const arn = String(resource.attributes.DBProxyEndpointArn);
      store.proxyEndpoints.delete(arn);
      store.forget(arn);
    },
  };
}

/** `AWS::RDS::DBProxyTargetGroup`. */
export function targetGroupResource(store: RdsStore, logins: ProxyLogins): ResourceFactory {
  return {
    type: 'AWS::RDS::DBProxyTargetGroup',
    async create({ stack, properties }) {
      const proxyName = String(properties.DBProxyName);
      const name = String(properties.TargetGroupName ?? 'default');
      const id = stableUuid(`${stack.arn} ${proxyName} ${name}`).replaceAll('-', '').slice(0, 17);
      const arn = `arn:aws:rds:${stack.region}:${LOCAL_ACCOUNT}:target-group:prx-tg-0${id}`;
      const clusterIdentifiers = (properties.DBClusterIdentifiers as string[] | undefined) ?? [];
      const tags = tagsOf(new Input(properties));
      store.targetGroups.set(arn, { name, arn, proxyName, region: stack.region, clusterIdentifiers, tags });
      await logins.enforce(proxyName, stack.region);
      return { ref: arn, attributes: { TargetGroupArn: arn } };
    },
    async remove(resource) {
      store.targetGroups.delete(resource.ref);
    },
  };
}

function vpcOf(subnetId: string | undefined, region: string, context: PlatformContext): string {
  for (const stack of context.stacks.values()) {
    if (stack.region !== region) continue;
    const isSubnet = (one: LocalResource): boolean => one.type === 'AWS::EC2::Subnet' && one.ref === subnetId;
    const subnet = [...stack.resources.values()].find(isSubnet);
    if (subnet) return String(subnet.properties.VpcId);
  }
  return 'vpc-local';
}

/** One entry of an Auth list, with AWS's defaults. */
export function proxyAuth(auth: Input): ProxyAuth {
  return {
    AuthScheme: auth.text('AuthScheme') ?? 'SECRETS',
    SecretArn: auth.text('SecretArn'),
    IAMAuth: auth.text('IAMAuth') ?? 'DISABLED',
    Description: auth.text('Description'),
    UserName: auth.text('UserName'),
    ClientPasswordAuthType: auth.text('ClientPasswordAuthType') ?? 'POSTGRES_SCRAM_SHA_256',
  };
}
