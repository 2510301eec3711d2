import { matchesWildcard } from '../aws/iam/policy-document.ts';
import { LOCAL_ACCOUNT, type LocalResource } from '../model.ts';

/** A resource-policy statement that allows a service to invoke a function. */
export interface LambdaPermission {
  functionArn: string;
  sourceArn: string | undefined;
  sourceAccount: string | undefined;
}

/** All AWS::Lambda::Permission resources that name this service, such as `events.amazonaws.com`. */
export function lambdaPermissions(resources: LocalResource[], service: string): LambdaPermission[] {
  const functions = resources.filter(({ type }) => type === 'AWS::Lambda::Function');
  return resources
    .filter(
      ({ type, properties }) =>
        type === 'AWS::Lambda::Permission' &&
        properties.Principal === service &&
        ['lambda:InvokeFunction', 'lambda:*'].includes(String(properties.Action)),
    )
    .map(({ properties }) => {
      const name = String(properties.FunctionName);
      const named = functions.find(({ ref, attributes }) => ref === name || attributes.Arn === name);
      return {
        functionArn: String(named?.attributes.Arn ?? name),
        sourceArn: text(properties.SourceArn),
        sourceAccount: text(properties.SourceAccount),
      };
    });
}

/**
 * True when one permission covers a source: a route, given as `arn:aws:execute-api:…:apiId/stage/METHOD/path`, or a
 * rule.
 */
export function mayInvoke(permissions: LambdaPermission[], functionArn: string, sourceArn: string): boolean {
  return permissions.some(
    (permission) =>
      permission.functionArn === functionArn &&
      (permission.sourceArn === undefined || matchesWildcard(permission.sourceArn, sourceArn)) &&
      (permission.sourceAccount === undefined || permission.sourceAccount === LOCAL_ACCOUNT),
  );
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
