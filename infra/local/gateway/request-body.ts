import type { IncomingMessage } from 'node:http';

/** API Gateway's limit on a request's body, in bytes. */
export const bodyLimit = 10 * 1024 * 1024;

/** @returns undefined when the body is over the limit; what follows is read and dropped */
export async function requestBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (isDeclaredTooLarge(request)) {
    request.resume();
    return undefined;
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= bodyLimit) chunks.push(chunk);
      else {
        chunks.length = 0;
        resolve(undefined);
      }
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('error', reject);
  });
}

/** Whether its Content-Length alone is over the limit. */
export function isDeclaredTooLarge(request: IncomingMessage): boolean {
  return Number(request.headers['content-length'] ?? 0) > bodyLimit;
}
