import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { logPlainRequest } from '../../http/request-log.ts';
import { PAGE, PAGE_POLICY, SCRIPT } from './docs-page.ts';
import type { routes } from './routes.ts';

type Answer = APIGatewayProxyStructuredResultV2;

/**
 * The routes without a token: the probe, the API's document and the page that shows it. They use no database: one
 * tenant's outage must not fail the probe.
 */
const operations: Readonly<Record<keyof typeof routes, (event: APIGatewayProxyEventV2) => Promise<Answer>>> =
  {
    'GET /health': async () => ({
      statusCode: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body: JSON.stringify({ status: 'ok' }),
    }),
    'GET /openapi.json': async (event) =>
      answerFile(event, await bundled('openapi.json'), 'application/json'),
    'GET /docs': async (event) =>
      answerFile(event, packed(PAGE), 'text/html; charset=utf-8', { 'content-security-policy': PAGE_POLICY }),
    'GET /docs/{file}': async (event) => {
      const name = event.pathParameters?.file ?? '';
      const type = FILES.get(name);
      if (type === undefined) return notFound();
      return answerFile(event, name === 'open.js' ? packed(SCRIPT) : await bundled(name), type);
    },
  };

/** The files of the page, and their media types. `infra/constructs/document-files.ts` puts them into the bundle. */
const FILES: ReadonlyMap<string, string> = new Map([
  ['open.js', 'text/javascript; charset=utf-8'],
  ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8'],
  ['swagger-ui-bundle.js.LICENSE.txt', 'text/plain; charset=utf-8'],
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['favicon-32x32.png', 'image/png'],
]);

export async function handler(event: APIGatewayProxyEventV2): Promise<Answer> {
  const at = performance.now();
  const answer = await operations[event.routeKey as keyof typeof operations](event);
  answer.headers = { ...answer.headers, 'x-request-id': event.requestContext.requestId };
  logPlainRequest(event, answer, at);
  return answer;
}

interface PackedFile {
  /** Compressed by gzip. */
  readonly bytes: Buffer;
  readonly etag: string;
}

const files = new Map<string, Promise<PackedFile>>();

/** A file beside this one in the bundle, where it is compressed. */
function bundled(name: string): Promise<PackedFile> {
  let file = files.get(name);
  if (!file) {
    file = readFile(join(import.meta.dirname, `${name}.gz`)).then(withTag);
    files.set(name, file);
  }
  return file;
}

const packed = (text: string): PackedFile => withTag(gzipSync(text));

const withTag = (bytes: Buffer): PackedFile => ({
  bytes,
  etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 27)}"`,
});

function answerFile(
  event: APIGatewayProxyEventV2,
  { bytes, etag }: PackedFile,
  type: string,
  more: Readonly<Record<string, string>> = {},
): Answer {
  const headers = {
    ...more,
    etag,
    // The next deployment may have another one.
    'cache-control': 'public, max-age=60',
    vary: 'accept-encoding',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  };
  if (event.headers['if-none-match']?.includes(etag)) return { statusCode: 304, headers };
  const takesGzip = /\bgzip\b/i.test(event.headers['accept-encoding'] ?? '');
  return {
    statusCode: 200,
    headers: { ...headers, 'content-type': type, ...(takesGzip ? { 'content-encoding': 'gzip' } : {}) },
    body: (takesGzip ? bytes : gunzipSync(bytes)).toString('base64'),
    isBase64Encoded: true,
  };
}

function notFound(): Answer {
  return {
    statusCode: 404,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
    body: JSON.stringify({
      type: 'urn:strata:problem:not-found',
      title: 'Not Found',
      status: 404,
      detail: 'There is no such resource.',
    }),
  };
}
