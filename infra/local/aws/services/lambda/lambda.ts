import { FunctionNotFound } from '../../../errors.ts';
import { LOCAL_ACCOUNT, type PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import { type AwsService, RawResponse, type ServiceModule } from '../../service.ts';

/** Largest payloads of synchronous invocations, in bytes. */
const PAYLOAD_LIMIT = 6 * 1024 * 1024;

/** AWS Lambda: invokes the deployed functions. `infra/local/lambda/` implements the functions. */
export function lambda(context: PlatformContext): ServiceModule {
  return { service: wire(context), resources: [] };
}

function wire(context: PlatformContext): AwsService {
  return {
    signingNames: ['lambda'],
    prefix: 'lambda',
    protocol: {
      kind: 'rest-json',
      routes: [
        {
          method: 'POST',
          path: /^\/2015-03-31\/functions\/([^/]+)\/invocations$/,
          operation: 'Invoke',
          parameters: ['FunctionName'],
          payload: 'Payload',
        },
        { method: 'GET', path: /^\/2015-03-31\/functions\/?$/, operation: 'ListFunctions' },
      ],
    },
    accessDenied: { code: 'AccessDeniedException', status: 403 },
    operations: {
      Invoke: {
        permissions: (input, call) => [
          {
            action: 'lambda:InvokeFunction',
            resource: functionArn(input.required('FunctionName'), call.region),
          },
        ],
        async run(input, call) {
          const body = input.text('Payload') ?? '';
          if (Buffer.byteLength(body) > PAYLOAD_LIMIT) {
            throw new AwsError('RequestTooLargeException', 'Request must be smaller than 6291456 bytes', {
              status: 413,
            });
          }
          const payload = parsePayload(body);
          const type = call.headers['x-amz-invocation-type'] ?? 'RequestResponse';
          if (type === 'DryRun') return new RawResponse(204, {}, '');
          if (type !== 'RequestResponse' && type !== 'Event') {
            throw new AwsError('InvalidParameterValueException', `Unknown invocation type ${type}`);
          }
          try {
            const functionName = input.required('FunctionName');
            const { region } = call;
            const result = await context.functions.invoke(functionName, payload, { type, region });
            if (type === 'Event') return new RawResponse(202, {}, '');
            const headers: Record<string, string> = {
              'content-type': 'application/json',
              'x-amz-executed-version': '$LATEST',
            };
            if (result.functionError) headers['x-amz-function-error'] = result.functionError;
            return new RawResponse(200, headers, JSON.stringify(result.payload ?? null));
          } catch (cause) {
            if (!(cause instanceof FunctionNotFound)) throw cause;
            const arn = functionArn(input.required('FunctionName'), call.region);
            const here = arn.split(':')[3] === call.region;
            const message = here ? `Function not found: ${arn}` : cause.message;
            throw new AwsError('ResourceNotFoundException', message, { status: 404 });
          }
        },
      },
      ListFunctions: {
        permissions: () => [{ action: 'lambda:ListFunctions', resource: '*' }],
        run: (_input, call) => ({
          Functions: context.functions
            .list()
            .filter((one) => one.arn.split(':')[3] === call.region)
            .map((one) => ({
              FunctionName: one.name,
              FunctionArn: one.arn,
              Role: one.roleArn,
              Timeout: one.timeoutSeconds,
              MemorySize: one.memoryMb,
              Runtime: 'nodejs24.x',
            })),
        }),
      },
    },
  };
}

/** The ARN for permissions, of a function given by name, partial or full ARN. */
export function functionArn(nameOrArn: string, region: string): string {
  if (nameOrArn.startsWith('arn:')) return nameOrArn;
  const name = nameOrArn.includes(':function:') ? nameOrArn.split(':function:')[1]! : nameOrArn;
  return `arn:aws:lambda:${region}:${LOCAL_ACCOUNT}:function:${name}`;
}

function parsePayload(body: string): unknown {
  if (body === '') return {};
  try {
    return JSON.parse(body);
  } catch {
    throw new AwsError('InvalidRequestContentException', 'Could not parse request body into json');
  }
}
