import type { DeployedStack, LocalResource, Log } from '../../model.ts';
import type { Policies } from './evaluator.ts';
import { asList, type PolicyDocument } from './policy-document.ts';

const NOTHING: PolicyDocument = { Statement: [] };

/**
 * Collects a role's policies from the deployed templates alone: its inline policies, `AWS::IAM::Policy` and
 * `AWS::IAM::ManagedPolicy` resources attached to it, AWS's managed policies, and its permissions boundary.
 */
export class RolePolicies {
  readonly #stacks: Map<string, DeployedStack>;
  readonly #log: Log;
  readonly #cache = new Map<string, Omit<Policies, 'resource'>>();
  /** The stacks that the cache was collected from. */
  #collected: { stack: DeployedStack; size: number }[] = [];

  constructor(stacks: Map<string, DeployedStack>, log: Log) {
    this.#stacks = stacks;
    this.#log = log;
  }

  /** undefined when no deployed stack has that role. */
  of(roleArn: string): Omit<Policies, 'resource'> | undefined {
    this.#forgetWhenStacksChanged();
    const known = this.#cache.get(roleArn);
    if (known) return known;
    const policies = this.#collect(roleArn);
    if (policies) this.#cache.set(roleArn, policies);
    return policies;
  }

  /** A deployment makes a new stack object; resources of a stack are only added or removed. */
  #forgetWhenStacksChanged(): void {
    const now = [...this.#stacks.values()].map((stack) => ({ stack, size: stack.resources.size }));
    const same =
      now.length === this.#collected.length &&
      now.every(({ stack, size }, index) => {
        const before = this.#collected[index];
        return before?.stack === stack && before.size === size;
      });
    if (same) return;
    this.#collected = now;
    this.#cache.clear();
  }

  #resources(type: string): LocalResource[] {
    return [...this.#stacks.values()].flatMap((stack) =>
      [...stack.resources.values()].filter((resource) => resource.type === type),
    );
  }

  #collect(roleArn: string): Omit<Policies, 'resource'> | undefined {
    const role = this.#resources('AWS::IAM::Role').find((resource) => resource.attributes.Arn === roleArn);
    if (!role) return undefined;
    const inline = asList(role.properties.Policies as { PolicyDocument: PolicyDocument }[] | undefined);
    const identity = inline.map((policy) => policy.PolicyDocument);
    for (const arn of asList(role.properties.ManagedPolicyArns as string[] | undefined)) {
      identity.push(this.#managed(arn));
    }
    for (const type of ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy', 'AWS::IAM::RolePolicy']) {
      for (const policy of this.#resources(type)) {
        const { Roles, RoleName, PolicyDocument } = policy.properties;
        const roles = [...asList(Roles as string[] | undefined), ...asList(RoleName as string | undefined)];
        if (roles.includes(role.ref)) identity.push(PolicyDocument as PolicyDocument);
      }
    }
    const boundary = role.properties.PermissionsBoundary as string | undefined;
    return { identity, boundary: boundary === undefined ? undefined : this.#managed(boundary) };
  }

  #managed(arn: string): PolicyDocument {
    const own = this.#resources('AWS::IAM::ManagedPolicy').find((policy) => policy.ref === arn);
    if (own) return own.properties.PolicyDocument as PolicyDocument;
    const aws = AWS_MANAGED_POLICIES[arn.slice(arn.indexOf(':policy/') + ':policy/'.length)];
    if (!aws) this.#log(`IAM: the managed policy ${arn} is not known here and allows nothing`);
    return aws ?? NOTHING;
  }
}

const LOGS = ['logs:CreateLogGroup', 'logs:CreateLogStream', 'logs:PutLogEvents'];

function allow(...actions: string[]): PolicyDocument {
  return { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: actions, Resource: '*' }] };
}

/** AWS's own managed policies that CDK constructs attach, by the path after `policy/`, as AWS publishes them. */
export const AWS_MANAGED_POLICIES: Record<string, PolicyDocument> = {
  'service-role/AWSLambdaBasicExecutionRole': allow(...LOGS),
  'service-role/AWSLambdaVPCAccessExecutionRole': allow(
    ...LOGS,
    'ec2:CreateNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSubnets',
    'ec2:DeleteNetworkInterface',
    'ec2:AssignPrivateIpAddresses',
    'ec2:UnassignPrivateIpAddresses',
  ),
  AWSXRayDaemonWriteAccess: allow(
    'xray:PutTraceSegments',
    'xray:PutTelemetryRecords',
    'xray:GetSamplingRules',
    'xray:GetSamplingTargets',
    'xray:GetSamplingStatisticSummaries',
  ),
};
