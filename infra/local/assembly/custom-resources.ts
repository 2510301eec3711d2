import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DeployError } from '../errors.ts';
import type {
  CreatedResource,
  LocalResource,
  PlatformContext,
  Properties,
  ResourceFactory,
  ResourceRequest,
} from '../model.ts';

/** The body that a handler PUTs to the ResponseURL of its event. */
interface CustomResourceResponse {
  Status: 'SUCCESS' | 'FAILED';
  Reason?: string;
  PhysicalResourceId?: string;
  Data?: Record<string, unknown>;
}

interface Remembered {
  physicalId: string;
  properties: Properties;
}

type RequestType = 'Create' | 'Update' | 'Delete';

const stateName = 'custom-resources';

/**
 * Custom resources whose service token is a Lambda function of the assembly. They are invoked at every start, and by
 * each deployment that changes their properties or rolls such a change back: `Create` the first time and `Update` from
 * then on, with the properties of the last attempt as the old ones. Handlers must be idempotent.
 */
export class CustomResources implements ResourceFactory {
  readonly type = 'AWS::CloudFormation::CustomResource';
  readonly #waiting = new Map<string, (response: CustomResourceResponse) => void>();
  #server: Promise<Server> | undefined;

  async create(request: ResourceRequest, context: PlatformContext): Promise<CreatedResource> {
    const key = `${request.stack.arn}/${request.logicalId}`;
    const { [key]: before = byStackName(request, context) } = remembered(context);
    const properties = asStrings(request.properties) as Properties;
    // Recorded before the invocation: a rollback after a failure passes the failed properties as the old ones.
    if (before) this.#remember(key, { physicalId: before.physicalId, properties }, context);
    const response = await this.#request(
      before ? 'Update' : 'Create',
      { ...request, properties },
      before,
      context,
    );
    const physicalId = response.PhysicalResourceId ?? before?.physicalId ?? request.defaultName;
    this.#remember(key, { physicalId, properties }, context);
    return { ref: physicalId, attributes: response.Data ?? {} };
  }

  /** Also for a replaced one: its record describes the new one then, and stays. */
  async remove(resource: LocalResource, context: PlatformContext): Promise<void> {
    const key = `${resource.stack}/${resource.logicalId}`;
    const { [key]: before } = remembered(context);
    const stack = context.stacks.get(resource.stack);
    if (!before || !stack) return;
    const { ref: physicalId } = resource;
    const properties = asStrings(resource.properties) as Properties;
    const gone = before.physicalId === physicalId ? before : { physicalId, properties };
    await this.#request(
      'Delete',
      { ...resource, stack, properties: gone.properties, defaultName: '' },
      gone,
      context,
    );
    if (gone !== before) return;
    const { [key]: _, ...others } = remembered(context);
    context.state.save(stateName, others);
  }

  /** Loaded again each time, because other custom resources are made meanwhile. */
  #remember(key: string, resource: Remembered, context: PlatformContext): void {
    context.state.save(stateName, { ...remembered(context), [key]: resource });
  }

  async stop(): Promise<void> {
    const server = await this.#server;
    server?.closeAllConnections();
    server?.close();
  }

  async #request(
    RequestType: RequestType,
    { stack, logicalId, type, properties }: ResourceRequest,
    before: Remembered | undefined,
    context: PlatformContext,
  ): Promise<CustomResourceResponse> {
    const token = properties.ServiceToken;
    if (typeof token !== 'string' || !token.includes(':function:')) {
      throw new DeployError('its ServiceToken is not a Lambda function of this platform');
    }
    this.#server ??= this.#listen();
    const { port } = (await this.#server).address() as AddressInfo;
    const RequestId = randomUUID();
    let response: CustomResourceResponse | undefined;
    this.#waiting.set(RequestId, (received) => {
      response = received;
    });
    try {
      const event = {
        RequestType,
        ResponseURL: `http://127.0.0.1:${port}/${RequestId}`,
        StackId: stack.arn,
        RequestId,
        ResourceType: type,
        LogicalResourceId: logicalId,
        ...(before && { PhysicalResourceId: before.physicalId }),
        ResourceProperties: properties,
        ...(RequestType === 'Update' && { OldResourceProperties: before?.properties }),
      };
      const { region } = stack;
      const { functionError, payload } = await context.functions.invoke(token, event, { region });
      if (functionError) throw new DeployError(errorText(payload));
      if (!response) throw new DeployError('its handler returned without sending a response');
      if (response.Status !== 'SUCCESS')
        throw new DeployError(response.Reason ?? 'its handler reported FAILED');
      return response;
    } finally {
      this.#waiting.delete(RequestId);
    }
  }

  #listen(): Promise<Server> {
    return new Promise((resolve, reject) => {
      const server = createServer((request, response) => {
        let body = '';
        request.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        request.on('end', () => {
          const receive = this.#waiting.get((request.url ?? '').slice(1));
          try {
            receive?.(JSON.parse(body) as CustomResourceResponse);
            response.writeHead(receive ? 200 : 403);
          } catch {
            response.writeHead(400);
          }
          response.end();
        });
      });
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve(server));
    });
  }
}

/** By ARN of the stack and logical id. */
function remembered(context: PlatformContext): Record<string, Remembered> {
  return context.state.load<Record<string, Remembered>>(stateName, {});
}

/** State of earlier versions uses the stack's name; its function identifies the region. */
function byStackName(
  { stack, logicalId }: ResourceRequest,
  context: PlatformContext,
): Remembered | undefined {
  const found = remembered(context)[`${stack.name}/${logicalId}`];
  return String(found?.properties.ServiceToken).split(':')[3] === stack.region ? found : undefined;
}

/** CloudFormation passes scalars as strings. */
function asStrings(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asStrings);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, asStrings(item)]));
  }
  return String(value);
}

function errorText(payload: unknown): string {
  const { errorType, errorMessage } = (payload ?? {}) as { errorType?: string; errorMessage?: string };
  return `its handler failed: ${errorType ?? 'Error'}: ${errorMessage ?? ''}`;
}
