import type { IncomingHttpHeaders } from 'node:http';
import type { LocalResource, PlatformContext } from '../model.ts';
import { credentialScope } from './credential-scope.ts';

/**
 * Prefix of the session token of a function's credentials. The token names the function, because functions may share a
 * role.
 */
const TOKEN = 'local-function:';

/** The session token of a function, which its SDK sends with every call. */
export const sessionTokenOf = (functionArn: string): string =>
  TOKEN + Buffer.from(functionArn).toString('base64url');

/**
 * Which AWS services a function's network allows it to call, by the deployed templates. A function in no VPC calls all
 * of them. One in a VPC calls those for which its VPC has an endpoint with the service's own name, and those of another
 * region for which a private zone of the VPC points to an endpoint there. Security groups and NAT gateways are ignored.
 */
export class FunctionNetwork {
  readonly #context: PlatformContext;
  /** Messages that were logged already. */
  readonly #told = new Set<string>();

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  /** Checks whether a signed request could have come from its function's network; if not, it logs what is missing. */
  reaches(headers: IncomingHttpHeaders, query: URLSearchParams): boolean {
    const token = headers['x-amz-security-token'];
    if (typeof token !== 'string' || !token.startsWith(TOKEN)) return true;
    const arn = Buffer.from(token.slice(TOKEN.length), 'base64url').toString();
    const scope = credentialScope(headers, query);
    const missing = scope && this.#missing(arn, scope.service, scope.region);
    if (missing === undefined) return true;
    const line = `function ${arn.split(':').at(-1)} cannot reach ${scope?.service}: ${missing}`;
    if (!this.#told.has(line)) this.#context.log(line);
    this.#told.add(line);
    return false;
  }

  #missing(functionArn: string, service: string, region: string): string | undefined {
    const caller = this.#context.functions.list().find(({ arn }) => arn === functionArn);
    const [subnetId] = caller?.subnetIds ?? [];
    if (subnetId === undefined) return undefined;
    const own = functionArn.split(':')[3] ?? '';
    const vpcId = this.#vpcOf(subnetId, own);
    const name = `com.amazonaws.${region}.${service}`;
    const endpoints = this.#resources('AWS::EC2::VPCEndpoint', region).filter(
      ({ properties }) => properties.ServiceName === name && properties.PrivateDnsEnabled !== false,
    );
    if (region === own) {
      return endpoints.some(({ properties }) => properties.VpcId === vpcId)
        ? undefined
        : `its network has no endpoint ${name}`;
    }
    const zoneName = `${service}.${region}.amazonaws.com`;
    const zone = this.#resources('AWS::Route53::HostedZone', own).find(
      ({ properties }) =>
        String(properties.Name).replace(/\.$/, '') === zoneName &&
        ((properties.VPCs ?? []) as { VPCId?: string }[]).some((one) => one.VPCId === vpcId),
    );
    if (!zone) return `its network has no private zone ${zoneName}`;
    return endpoints.length > 0 ? undefined : `no network of ${region} has an endpoint ${name}`;
  }

  /** undefined when the subnet is not in any template here: then nothing can be reached. */
  #vpcOf(subnetId: string, region: string): unknown {
    const subnet = this.#resources('AWS::EC2::Subnet', region).find(({ ref }) => ref === subnetId);
    return subnet?.properties.VpcId;
  }

  #resources(type: string, region: string): LocalResource[] {
    return [...this.#context.stacks.values()]
      .filter((stack) => stack.region === region)
      .flatMap((stack) => [...stack.resources.values()].filter((one) => one.type === type));
  }
}
