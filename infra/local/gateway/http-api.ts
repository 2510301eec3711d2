import { lambdaPermissions, mayInvoke } from '../lambda/lambda-permission.ts';
import type { DeployedStack, LocalResource, Properties, ResourceFactory } from '../model.ts';

/** One HTTP API of the assembly, ready to serve. */
export interface HttpApi {
  apiId: string;
  stage: string;
  cors: CorsConfiguration | undefined;
  routes: HttpRoute[];
}

export interface HttpRoute {
  /** `GET /employees/{employeeId}` or `$default`. */
  key: string;
  api: HttpApi;
  functionArn: string;
  /** False when the template does not allow API Gateway to invoke the function of this route. */
  permitted: boolean;
  timeoutMs: number;
  authorizer: JwtAuthorizerConfiguration | undefined;
  /** A token needs one of them; no scope is needed when empty. */
  scopes: string[];
}

export interface JwtAuthorizerConfiguration {
  issuer: string;
  audience: string[];
  /** `$request.header.Authorization` or `$request.querystring.token`. */
  identitySource: string;
}

export interface CorsConfiguration {
  AllowOrigins?: string[];
  AllowMethods?: string[];
  AllowHeaders?: string[];
  ExposeHeaders?: string[];
  MaxAge?: number;
  AllowCredentials?: boolean;
}

/** API Gateway's own time limit of an integration. */
const integrationTimeoutMs = 30_000;

/** Reads the HTTP APIs of deployed stacks of one region. */
export function httpApis(stacks: DeployedStack[]): HttpApi[] {
  const resources = stacks.flatMap((stack) => [...stack.resources.values()]);
  const ofType = (type: string) =>
    resources.filter((resource) => resource.type === `AWS::ApiGatewayV2::${type}`);
  const byRef = new Map(resources.map((resource) => [`${resource.type} ${resource.ref}`, resource]));
  const find = (type: string, ref: unknown) => byRef.get(`AWS::ApiGatewayV2::${type} ${String(ref)}`);
  const permissions = lambdaPermissions(resources, 'apigateway.amazonaws.com');
  return ofType('Api').map((resource) => {
    const apiId = resource.ref;
    const { region } = stacks.find(({ arn }) => arn === resource.stack)!;
    const stage = ofType('Stage').find(({ properties }) => properties.ApiId === apiId);
    const api: HttpApi = {
      apiId,
      stage: String(stage?.properties.StageName ?? '$default'),
      cors: resource.properties.CorsConfiguration as CorsConfiguration | undefined,
      routes: [],
    };
    for (const { properties } of ofType('Route').filter((route) => route.properties.ApiId === apiId)) {
      const key = String(properties.RouteKey);
      const integration =
        find('Integration', String(properties.Target).replace(/^integrations\//, ''))?.properties ?? {};
      const functionArn = functionArnOf(String(integration.IntegrationUri));
      const [method, path] = key === '$default' ? ['$default', ''] : (key.split(' ') as [string, string]);
      const sourceArn = `arn:aws:execute-api:${region}:000000000000:${apiId}/${api.stage}/${method}${path}`;
      api.routes.push({
        key,
        api,
        functionArn,
        permitted: mayInvoke(permissions, functionArn, sourceArn),
        timeoutMs: Math.min(
          Number(integration.TimeoutInMillis ?? integrationTimeoutMs),
          integrationTimeoutMs,
        ),
        authorizer:
          properties.AuthorizationType === 'JWT'
            ? jwt(find('Authorizer', properties.AuthorizerId))
            : undefined,
        scopes: (properties.AuthorizationScopes as string[] | undefined) ?? [],
      });
    }
    return api;
  });
}

function jwt(authorizer: LocalResource | undefined): JwtAuthorizerConfiguration {
  const configuration = (authorizer?.properties.JwtConfiguration ?? {}) as {
    Issuer?: string;
    Audience?: string[];
  };
  const sources = authorizer?.properties.IdentitySource as string[] | undefined;
  return {
    issuer: configuration.Issuer ?? '',
    audience: configuration.Audience ?? [],
    identitySource: sources?.[0] ?? '$request.header.Authorization',
  };
}

/** An integration has the ARN of its function or the invocation path of the Lambda API. */
function functionArnOf(uri: string): string {
  return /functions\/(arn:[^/]+)\/invocations/.exec(uri)?.[1] ?? uri;
}

/**
 * Factories of the AWS::ApiGatewayV2 types; {@link httpApis} interprets them.
 * @param urlOf URL of the APIs of a region
 */
export function httpApiResources(urlOf: (region: string) => string): ResourceFactory[] {
  const named = (type: string, attributes: (ref: string, region: string) => Properties): ResourceFactory => ({
    type: `AWS::ApiGatewayV2::${type}`,
    async create({ defaultName, properties, stack }) {
      const ref = type === 'Stage' ? String(properties.StageName) : defaultName.slice(-10).toLowerCase();
      return { ref, attributes: attributes(ref, stack.region) };
    },
  });
  return [
    named('Api', (ApiId, region) => ({ ApiId, ApiEndpoint: urlOf(region) })),
    named('Stage', () => ({})),
    named('Route', (RouteId) => ({ RouteId })),
    named('Integration', (IntegrationId) => ({ IntegrationId })),
    named('Authorizer', (AuthorizerId) => ({ AuthorizerId })),
    named('ApiMapping', (ApiMappingId) => ({ ApiMappingId })),
    named('DomainName', () => ({ RegionalDomainName: 'localhost', RegionalHostedZoneId: 'local' })),
  ];
}
