import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/**
 * Accepts one cdk-nag finding at one construct, with the reason why it is right here.
 * Give the exact finding (`IAM5[Resource::*]`) wherever the rule reports one: a bare rule would also hide what comes later.
 */
export function acknowledgeFinding(scope: IConstruct, finding: string, reason: string): void {
  Validations.of(scope).acknowledge({ id: `AwsSolutions-${finding}`, reason });
}
