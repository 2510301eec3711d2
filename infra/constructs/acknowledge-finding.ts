import { Stack, Validations } from 'aws-cdk-lib';
import type { IGrantable, IRole } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct, type IConstruct } from 'constructs';

/**
 * Accepts one cdk-nag finding at one construct, with the reason. Give the exact finding (`IAM5[Resource::*]`) wherever
 * the rule reports one: a bare rule would also hide later findings.
 */
export function acknowledgeFinding(scope: IConstruct, finding: string, reason: string): void {
  Validations.of(scope).acknowledge({ id: `AwsSolutions-${finding}`, reason });
}

/** Accepts that a role, a managed policy, or whatever is in a construct, has rights on this one resource pattern. */
export function acknowledgePattern(holder: IGrantable | Construct, pattern: string, reason: string): void {
  const grantPrincipal = 'grantPrincipal' in holder ? holder.grantPrincipal : holder;
  const scope = Construct.isConstruct(grantPrincipal) ? grantPrincipal : holder;
  if (!Construct.isConstruct(scope)) throw new Error(`no construct to acknowledge ${pattern} at`);
  acknowledgeFinding(scope, `IAM5[Resource::${flatten(Stack.of(scope).resolve(pattern))}]`, reason);
}

/**
 * Accepts the rights that CDK gives the role of a state machine: write logs and traces, and invoke these task
 * functions.
 */
export function acknowledgeWorkflow(role: IRole, tasks: readonly IFunction[]): void {
  acknowledgeFinding(
    role,
    'IAM5[Resource::*]',
    'Delivering execution logs and X-Ray traces is not authorized on single resources; AWS documents these statements.',
  );
  for (const task of tasks) {
    const isHere = Stack.of(task) === Stack.of(role);
    // In another stack a finding names the export, which CDK would resolve to only after the acknowledgement.
    const arn = isHere ? task.functionArn : Stack.of(task).exportValue(task.functionArn);
    acknowledgePattern(role, `${arn}:*`, 'Versions and aliases of a task function are that function.');
  }
}

/** A resolved value as cdk-nag spells it in finding ids: references in angle brackets, what it does not know as JSON. */
function flatten(value: unknown): string {
  if (typeof value === 'string') return value;
  const {
    Ref: reference,
    'Fn::Join': join,
    'Fn::GetAtt': attribute,
    'Fn::Select': selected,
    'Fn::ImportValue': imported,
  } = value as {
    Ref?: string;
    'Fn::Join'?: [string, unknown[]];
    'Fn::GetAtt'?: [string, string];
    'Fn::Select'?: unknown;
    'Fn::ImportValue'?: string;
  };
  if (reference) return `<${reference}>`;
  if (attribute) return `<${attribute.join('.')}>`;
  if (imported) return imported;
  if (selected) return JSON.stringify(value);
  if (join) return join[1].map(flatten).join(join[0]);
  throw new Error(`cannot spell ${JSON.stringify(value)} as a finding`);
}
