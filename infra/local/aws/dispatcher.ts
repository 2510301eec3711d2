import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { reasonOf } from '../errors.ts';
import type { Log } from '../model.ts';
import { credentialScope } from './credential-scope.ts';
import { AwsError } from './errors.ts';
import type { Authorizer } from './iam/authorizer.ts';
import { Input } from './input.ts';
import { isPresigned, verifyPresignedUrl } from './presigned-url.ts';
import type { WireRequest } from './service.ts';
import { type AwsService, type Call, type Principal, RawResponse } from './service.ts';
import { decodeRequest, dialectOf, encodeError, encodeResponse, type WireResponse } from './wire.ts';

/** Handles a request from bytes to an answer: finds the service, checks IAM, runs the operation, formats errors. */
export class Dispatcher {
  readonly #authorizer: Authorizer;
  readonly #log: Log;
  readonly #services = new Map<string, AwsService>();

  constructor(services: AwsService[], authorizer: Authorizer, log: Log) {
    this.#authorizer = authorizer;
    this.#log = log;
    for (const service of services) {
      for (const name of service.signingNames) this.#services.set(name, service);
    }
  }

  /** Never rejects. */
  async handle(request: WireRequest, query: URLSearchParams): Promise<WireResponse> {
    const requestId = randomUUID();
    const scope = credentialScope(request.headers, query);
    const service = scope && this.#services.get(scope.service);
    const dialect = dialectOf(request, service);
    let response: WireResponse;
    try {
      if (!scope) {
        throw new AwsError('MissingAuthenticationTokenException', 'Missing Authentication Token', {
          status: 403,
        });
      }
      const principal = this.#authorizer.principal(scope.accessKeyId);
      if (!service)
        throw this.#unknown(principal, `${scope.service}:*`, `service ${scope.service}`, scope.region);
      if (scope.service === 's3' && isPresigned(query)) {
        verifyPresignedUrl(request, query, this.#authorizer.secretAccessKey(scope.accessKeyId), Date.now());
      }
      const { operation, members } = decodeRequest(dialect, service, request, query);
      const call: Call = {
        service: scope.service,
        operation,
        region: scope.region,
        requestId,
        principal,
        headers: request.headers,
        request,
      };
      const result = await this.#run(service, members, call);
      response =
        result instanceof RawResponse
          ? { status: result.status, headers: result.headers, body: result.body }
          : encodeResponse(dialect, service, { operation, result, requestId });
    } catch (cause) {
      response = encodeError(dialect, service, this.#asAwsError(cause, service), requestId);
    }
    response.headers['x-amzn-requestid'] = requestId;
    return response;
  }

  /** Whether a request is a URL of S3 that a role has presigned, which `handle` then verifies. */
  isPresignedByRole({ headers, query }: { headers: IncomingHttpHeaders; query: URLSearchParams }): boolean {
    const scope = credentialScope(headers, query);
    return (
      scope?.service === 's3' &&
      isPresigned(query) &&
      this.#authorizer.secretAccessKey(scope.accessKeyId) !== undefined
    );
  }

  /**
   * Runs an operation for a known principal, as state machines and CloudFormation do.
   * @throws {AwsError}
   */
  async call(
    serviceName: string,
    operation: string,
    members: Record<string, unknown>,
    as: Principal,
    region: string,
  ) {
    const service = this.#services.get(serviceName);
    if (!service) throw this.#unknown(as, `${serviceName}:${operation}`, `service ${serviceName}`, region);
    const call: Call = {
      service: serviceName,
      operation,
      region,
      requestId: randomUUID(),
      principal: as,
      headers: {},
    };
    return this.#run(service, members, call);
  }

  async #run(service: AwsService, members: Record<string, unknown>, call: Call): Promise<unknown> {
    const operation = service.operations[call.operation];
    if (!operation || !Object.hasOwn(service.operations, call.operation)) {
      throw this.#unknown(
        call.principal,
        `${service.prefix}:${call.operation}`,
        call.operation,
        call.region,
        service,
      );
    }
    const invalid = service.protocol.kind === 'query' ? 'ValidationError' : 'ValidationException';
    const input = new Input(members, invalid);
    if (call.principal.kind === 'role') {
      const permissions = operation.permissions(input, call);
      const refusal = this.#authorizer.refusesCall(call.principal, permissions, call.region);
      if (refusal !== undefined) {
        throw new AwsError(service.accessDenied.code, refusal, { status: service.accessDenied.status });
      }
    }
    return operation.run(input, call);
  }

  /**
   * For a role, an operation that this endpoint does not have is denied; an administrator gets an error that says so.
   */
  #unknown(
    principal: Principal,
    action: string,
    what: string,
    region: string,
    service?: AwsService,
  ): AwsError {
    const refusal = this.#authorizer.refuses(principal, { action, resource: '*' }, region);
    if (refusal !== undefined) {
      return new AwsError(service?.accessDenied.code ?? 'AccessDeniedException', refusal, { status: 403 });
    }
    return new AwsError('UnknownOperationException', `The local AWS endpoint does not offer ${what}`, {
      status: 501,
    });
  }

  #asAwsError(cause: unknown, service: AwsService | undefined): AwsError {
    if (cause instanceof AwsError) return cause;
    this.#log(`AWS endpoint: ${service?.prefix ?? 'request'} failed: ${reasonOf(cause)}`);
    return new AwsError('InternalFailure', 'The local AWS endpoint failed; its log says why', {
      status: 500,
    });
  }
}
