import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  CorsHttpMethod,
  HttpApi,
  type HttpMethod,
  HttpNoneAuthorizer,
  HttpStage,
  type IHttpApi,
  LogGroupLogDestination,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpJwtAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { StrataConfig } from '../config.ts';
import { acknowledgeFinding } from './acknowledge-finding.ts';
import { raiseAlarm } from './alarms.ts';
import { ApiDomain } from './api-domain.ts';

export interface ContextApiProps {
  readonly config: StrataConfig;
  readonly description: string;
  /** The issuer of accepted tokens. */
  readonly issuer: string;
  /** Clients whose tokens are accepted. */
  readonly clientIds: readonly string[];
  /** Scopes that a token needs on every route. */
  readonly scopes?: readonly string[];
  /** Host name of the API, with `*` as first label for all tenants' subdomains. */
  readonly hostName?: string | undefined;
  readonly alarmTopicArn: string;
}

/** An HTTP API whose routes are the `routes.ts` of bounded contexts, each served by one function. */
export class ContextApi extends Construct {
  readonly url: string;
  readonly #api: HttpApi;

  constructor(scope: Construct, id: string, props: ContextApiProps) {
    super(scope, id);
    const { config } = props;
    this.#api = new HttpApi(this, 'Api', {
      description: props.description,
      createDefaultStage: false,
      defaultAuthorizer: new HttpJwtAuthorizer('Token', props.issuer, { jwtAudience: [...props.clientIds] }),
      ...(props.scopes ? { defaultAuthorizationScopes: [...props.scopes] } : {}),
      corsPreflight: {
        allowOrigins: [...config.allowedOrigins],
        allowMethods: [
          CorsHttpMethod.GET,
          CorsHttpMethod.POST,
          CorsHttpMethod.PUT,
          CorsHttpMethod.PATCH,
          CorsHttpMethod.DELETE,
        ],
        allowHeaders: [
          'authorization',
          'content-type',
          'idempotency-key',
          'if-match',
          'if-none-match',
          'x-tenant-id',
          'x-request-id',
        ],
        exposeHeaders: [
          'apigw-requestid',
          'etag',
          'idempotency-replayed',
          'location',
          'ratelimit-limit',
          'ratelimit-remaining',
          'ratelimit-reset',
          'retry-after',
          'x-request-id',
        ],
        maxAge: Duration.hours(1),
      },
    });
    const logs = new LogGroup(this, 'AccessLogs', {
      retention: config.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    const stage = new HttpStage(this, 'Stage', {
      httpApi: this.#api,
      autoDeploy: true,
      // Not the metrics of each route: up to six of each would be billed as custom metrics, and the lines of the log
      // of requests have route, status and duration.
      detailedMetricsEnabled: false,
      throttle: { rateLimit: config.throttling.rate, burstLimit: config.throttling.burst },
      accessLogSettings: {
        destination: new LogGroupLogDestination(logs),
        format: AccessLogFormat.custom(ACCESS_LOG_FORMAT),
      },
    });
    this.url = this.#api.apiEndpoint;
    if (props.hostName) {
      this.url = new ApiDomain(this, 'Domain', {
        api: this.#api as IHttpApi,
        stage,
        hostName: props.hostName,
        config,
      }).url;
    }
    raiseAlarm(this, 'ServerErrors', {
      metric: stage.metricServerError({ statistic: 'Sum' }),
      threshold: 5,
      description: `${props.description}: five or more 5xx answers in 5 minutes.`,
      topicArn: props.alarmTopicArn,
    });
  }

  /** Serves all routes of one context with one function. `public` routes need no token: give the reason. */
  serve(
    context: string,
    routes: Readonly<Record<string, string>>,
    handler: IFunction,
    open?: { reason: string },
  ): void {
    // One permission for the whole API, because one per route would exceed the size of the function's resource policy.
    const integration = new HttpLambdaIntegration(context, handler, { scopePermissionToRoute: false });
    for (const route of Object.keys(routes)) {
      const [method, path] = route.split(' ') as [HttpMethod, string];
      const added = this.#api.addRoutes({
        path,
        methods: [method],
        integration,
        ...(open ? { authorizer: new HttpNoneAuthorizer(), authorizationScopes: [] } : {}),
      });
      if (open) for (const one of added) acknowledgeFinding(one, 'APIG4', open.reason);
    }
  }
}

/** Access log: caller, route and tenant, without query strings and bodies, which may contain names. */
const ACCESS_LOG_FORMAT = JSON.stringify({
  requestId: '$context.requestId',
  time: '$context.requestTime',
  ip: '$context.identity.sourceIp',
  method: '$context.httpMethod',
  path: '$context.path',
  routeKey: '$context.routeKey',
  status: '$context.status',
  latencyMs: '$context.responseLatency',
  integrationLatencyMs: '$context.integrationLatency',
  integrationError: '$context.integrationErrorMessage',
  authorizerError: '$context.authorizer.error',
  subject: '$context.authorizer.claims.sub',
  tenantId: '$context.authorizer.claims.tenant_id',
});
