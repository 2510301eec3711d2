import { Fn } from 'aws-cdk-lib';
import {
  GatewayVpcEndpointAwsService,
  InterfaceVpcEndpointAwsService,
  type IVpc,
  Peer,
  Port,
  SecurityGroup,
  SubnetType,
} from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';
import type { RegionConfig, StrataConfig } from '../config.ts';
import { POSTGRES_PORT } from './aurora-cluster.ts';
import { VALKEY_PORT } from './cell-cache.ts';
import { IsolatedVpc } from './isolated-vpc.ts';
import type { FunctionNetwork } from './strata-function.ts';

/** Services that functions inside the network call. */
export const ENDPOINT_SERVICES = {
  SecretsManager: InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
  DataApi: InterfaceVpcEndpointAwsService.RDS_DATA,
  // A task that has settled a hop starts the execution that cleans up after it.
  StepFunctions: InterfaceVpcEndpointAwsService.STEP_FUNCTIONS,
  // Data keys of encrypted fields.
  Kms: InterfaceVpcEndpointAwsService.KMS,
};

export type EndpointName = keyof typeof ENDPOINT_SERVICES;

/**
 * The region's network and its allowed connections:
 *
 *   API functions ──5432──▶ proxies ──5432──▶ clusters
 *   API functions ──6379──▶ caches, where a cell has one
 *   API functions ───443──▶ interface endpoints
 *   task functions ─5432──▶ clusters, and proxies to verify what a request would see
 *   task functions ─6379──▶ caches, where a cell has one, to end what is cached of a former place
 *   task functions ──443──▶ interface endpoints, S3 (gateway endpoint)
 *   clusters ──────5432──▶ clusters, which replicate the tenants that move between them
 *
 * Nothing else: request functions reach a cluster only through its proxy. With several regions, task functions and
 * clusters reach those of the other regions in the same way (`RegionLinkStack` makes the route); a security group
 * cannot be named across regions, so those rules use address ranges.
 */
export class RegionNetwork extends Construct {
  readonly vpc: IVpc;
  readonly subnetIds: string[];
  readonly clusters: SecurityGroup;
  readonly proxies: SecurityGroup;
  /** undefined when no cell of the region has a cache. */
  readonly caches: SecurityGroup | undefined;
  readonly #apiFunctions: SecurityGroup;
  readonly #taskFunctions: SecurityGroup;
  /** A token: hosted zone and host name of each service's endpoint, as `Z…:vpce-….amazonaws.com`. */
  readonly endpoints: Readonly<Record<EndpointName, string>>;

  constructor(
    scope: Construct,
    id: string,
    region: RegionConfig,
    { regions, logRetentionDays }: Pick<StrataConfig, 'regions' | 'logRetentionDays'>,
  ) {
    super(scope, id);
    const { vpc, subnetIds } = new IsolatedVpc(this, 'Isolated', {
      cidr: region.cidr,
      availabilityZones: region.availabilityZones,
      logRetentionDays,
    });
    this.vpc = vpc;
    this.subnetIds = subnetIds;
    this.clusters = this.#group('Clusters', 'Aurora clusters of cells and of Enterprise tenants');
    this.proxies = this.#group('Proxies', 'RDS proxies of cells and of Enterprise tenants');
    this.#apiFunctions = this.#group('ApiFunctions', 'Functions that serve tenants');
    this.#taskFunctions = this.#group('TaskFunctions', 'Functions of workflows and deployments');
    this.caches = region.cells.some(({ cache }) => cache)
      ? this.#group('Caches', 'Caches of cells')
      : undefined;
    const endpoints = this.#group('Endpoints', 'Interface endpoints of AWS services');

    this.#allow(this.#apiFunctions, this.proxies, POSTGRES_PORT, 'requests');
    if (this.caches) {
      this.#allow(this.#apiFunctions, this.caches, VALKEY_PORT, 'cached values and limits');
      this.#allow(this.#taskFunctions, this.caches, VALKEY_PORT, 'the end of cached values');
    }
    this.#allow(this.proxies, this.clusters, POSTGRES_PORT, 'pooled sessions');
    this.#allow(this.#taskFunctions, this.clusters, POSTGRES_PORT, 'DDL and moves');
    this.#allow(this.#taskFunctions, this.proxies, POSTGRES_PORT, 'verification');
    this.#allow(this.clusters, this.clusters, POSTGRES_PORT, 'replication between clusters');
    this.#allow(this.#apiFunctions, endpoints, 443, 'AWS API calls');
    this.#allow(this.#taskFunctions, endpoints, 443, 'AWS API calls');
    // Custom resources answer CloudFormation through a bucket; workflow tasks write backups.
    this.#taskFunctions.addEgressRule(Peer.prefixList(region.s3PrefixListId), Port.tcp(443), 'S3');

    this.vpc.addGatewayEndpoint('S3', { service: GatewayVpcEndpointAwsService.S3 });
    const dnsEntry = (name: EndpointName): string => {
      const endpoint = this.vpc.addInterfaceEndpoint(name, {
        service: ENDPOINT_SERVICES[name],
        securityGroups: [endpoints],
        open: false,
        subnets: { subnetType: SubnetType.PRIVATE_ISOLATED },
      });
      // The first one is for the endpoint as a whole, the others for single zones.
      return Fn.select(0, endpoint.vpcEndpointDnsEntries);
    };
    this.endpoints = {
      SecretsManager: dnsEntry('SecretsManager'),
      DataApi: dnsEntry('DataApi'),
      StepFunctions: dnsEntry('StepFunctions'),
      Kms: dnsEntry('Kms'),
    };
    for (const other of regions) if (other.key !== region.key) this.#openTo(other, endpoints);
  }

  /** For functions that reach tenants' data through a proxy. */
  get forApi(): FunctionNetwork {
    return { vpc: this.vpc, securityGroup: this.#apiFunctions };
  }

  /** For functions that connect to clusters themselves. */
  get forTasks(): FunctionNetwork {
    return { vpc: this.vpc, securityGroup: this.#taskFunctions };
  }

  /** Clusters replicate with the other region's, and task functions work across both. */
  #openTo({ key, cidr }: RegionConfig, endpoints: SecurityGroup): void {
    const there = Peer.ipv4(cidr);
    const postgres = Port.tcp(POSTGRES_PORT);
    this.clusters.addIngressRule(there, postgres, `replication and moves of region ${key}`);
    this.clusters.addEgressRule(there, postgres, `replication from region ${key}`);
    this.proxies.addIngressRule(there, postgres, `verification by region ${key}`);
    // After a move from there, fields are encrypted under that region's key for a while.
    this.#apiFunctions.addEgressRule(there, Port.tcp(443), `AWS API calls to region ${key}`);
    this.#taskFunctions.addEgressRule(there, postgres, `moves to and from region ${key}`);
    this.#taskFunctions.addEgressRule(there, Port.tcp(443), `AWS API calls to region ${key}`);
    endpoints.addIngressRule(there, Port.tcp(443), `AWS API calls of region ${key}`);
  }

  #group(name: string, description: string): SecurityGroup {
    return new SecurityGroup(this, name, { vpc: this.vpc, description, allowAllOutbound: false });
  }

  #allow(from: SecurityGroup, to: SecurityGroup, port: number, what: string): void {
    from.addEgressRule(to, Port.tcp(port), what);
    to.addIngressRule(from, Port.tcp(port), what);
  }
}
