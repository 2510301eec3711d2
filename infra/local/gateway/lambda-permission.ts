import type { LocalResource } from '../model.ts';

/** A resource-policy statement that lets API Gateway invoke a function. */
export interface LambdaPermission {
  functionArn: string;
  sourceArn: string | undefined;
}

/** All AWS::Lambda::Permission resources that name API Gateway. */
export function lambdaPermissions(resources: LocalResource[]): LambdaPermission[] {
  const functions = resources.filter(({ type }) => type === 'AWS::Lambda::Function');
  return resources
    .filter(
      ({ type, properties }) =>
        type === 'AWS::Lambda::Permission' &&
        properties.Principal === 'apigateway.amazonaws.com' &&
        ['lambda:InvokeFunction', 'lambda:*'].includes(String(properties.Action)),
    )
    .map(({ properties }) => {
      const name = String(properties.FunctionName);
      const named = functions.find(({ ref, attributes }) => ref === name || attributes.Arn === name);
      return {
        functionArn: String(named?.attributes.Arn ?? name),
        sourceArn: typeof properties.SourceArn === 'string' ? properties.SourceArn : undefined,
      };
    });
}

/** Whether one permission covers this route, given as `arn:aws:execute-api:…:apiId/stage/METHOD/path`. */
export function mayInvoke(permissions: LambdaPermission[], functionArn: string, routeArn: string): boolean {
  return permissions.some(
    (permission) =>
      permission.functionArn === functionArn &&
      (permission.sourceArn === undefined || matches(permission.sourceArn, routeArn)),
  );
}

/** ArnLike: `*` is any run of characters, `?` any one. */
function matches(pattern: string, arn: string): boolean {
  const expression = pattern
    .replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${expression}$`).test(arn);
}
