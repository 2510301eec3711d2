import type { IncomingHttpHeaders } from 'node:http';
import type { LocalResource, PlatformContext } from '../model.ts';
import { credentialScope } from './credential-scope.ts';

/** Begins the session token of a function's credentials, which names the function: roles may be shared. */
const TOKEN = 'local-function:';

/** The session token of a function, which its SDK sends with every call. */
export const sessionTokenOf = (functionArn: string): string =>
  TOKEN + Buffer.from(functionArn).toString('base64url');

/**
 * Which AWS services a function's network lets it call, by the deployed templates. A function in no VPC calls all of
 * them. One in a VPC calls those for which its VPC has an endpoint with the service's own name; the ones of another
 * region where a private zone of the VPC leads to an endpoint there. Security groups and NAT gateways are not looked at.
 */
export class FunctionNetwork {
  readonly #context: PlatformContext;
  /** What the log has been told. */
  readonly #told = new Set<string>();

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  /** Whether a signed request could come here from where its function runs; if not, the log says what is missing. */
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

  /** Undefined where the subnet is of no template here: then nothing can be reached. */
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
