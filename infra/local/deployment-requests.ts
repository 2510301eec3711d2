/**
 * Deployments to the running platform, requested by a program of this machine at the AWS endpoint:
 *
 *   GET  /_local/deployments   → `{ "assemblies": DIRECTORY }`: where to put an assembly, which stays while it is used
 *   POST /_local/deployments   `{ "assembly": DIRECTORY, "failAfter"?: "Stack/LogicalId" }`
 *                              → one JSON document per line: `{ "step": TEXT }` during it, at last `{ "outcome": … }`
 *
 * An impossible deployment is a 4xx with `{ "message": TEXT }`. The deployment continues when its client disconnects.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import type { DeploymentOptions, DeploymentOutcome } from './deployments.ts';
import { PlatformError } from './errors.ts';
import type { RequestHandler } from './model.ts';

const PATH = '/_local/deployments';

export interface DeploymentRequestsOptions {
  /** Absolute. */
  assemblies: string;
  /** undefined until the platform has started. */
  deploy(): ((directory: string, options: DeploymentOptions) => Promise<DeploymentOutcome>) | undefined;
}

/** Answers requests at `/_local/deployments`. */
export function deploymentRequests({ assemblies, deploy }: DeploymentRequestsOptions): RequestHandler {
  return async (request, response) => {
    if (request.url !== PATH) return false;
    if (request.method === 'GET') return answer(response, 200, { assemblies });
    if (request.method !== 'POST') return answer(response, 405, { message: 'GET or POST' });
    const start = deploy();
    if (!start) return answer(response, 503, { message: 'the platform has not started yet' });
    const { assembly, failAfter } = await bodyOf(request);
    if (typeof assembly !== 'string' || !['string', 'undefined'].includes(typeof failAfter)) {
      return answer(response, 400, {
        message: '"assembly" must be a directory, "failAfter" a text if given',
      });
    }
    const write = (line: object) => response.write(`${JSON.stringify(line)}\n`);
    try {
      const outcome = await start(assembly, {
        ...(typeof failAfter === 'string' ? { failAfter } : {}),
        report(step) {
          if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' });
          write({ step });
        },
      });
      write({ outcome });
      response.end();
      return true;
    } catch (cause) {
      if (!(cause instanceof PlatformError)) throw cause;
      return answer(response, 409, { message: cause.message });
    }
  };
}

async function bodyOf(request: IncomingMessage): Promise<{ assembly?: unknown; failAfter?: unknown }> {
  const body: unknown = await json(request).catch(() => null);
  return body !== null && typeof body === 'object' ? body : {};
}

function answer(response: ServerResponse, status: number, document: object): true {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(document));
  return true;
}

/**
 * Deploys an assembly to the platform at this AWS endpoint.
 * @param assembly writes the assembly below the given directory, and returns its path; absolute
 * @throws {PlatformError} when no platform answers, or it refuses the deployment
 */
export async function requestDeployment(
  awsUrl: string,
  assembly: (assemblies: string) => Promise<string>,
  { failAfter, report = () => {} }: DeploymentOptions = {},
): Promise<DeploymentOutcome> {
  const { assemblies } = (await (await ask(awsUrl)).json()) as { assemblies: string };
  const body = JSON.stringify({ assembly: await assembly(assemblies), failAfter });
  const response = await ask(awsUrl, { method: 'POST', body });
  let outcome: DeploymentOutcome | undefined;
  let rest = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const document = JSON.parse(line) as { step?: string; outcome?: DeploymentOutcome };
      if (document.step !== undefined) report(document.step);
      outcome ??= document.outcome;
    }
  }
  if (!outcome) throw new PlatformError('the platform ended during the deployment');
  return outcome;
}

async function ask(awsUrl: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(awsUrl + PATH, init);
  } catch {
    throw new PlatformError(`no platform answers at ${awsUrl}: run npm start, or set AWS_PORT`);
  }
  if (response.ok) return response;
  const { message } = (await response.json().catch(() => ({}))) as { message?: string };
  throw new PlatformError(message ?? `${awsUrl} is not a platform of this version: HTTP ${response.status}`);
}
