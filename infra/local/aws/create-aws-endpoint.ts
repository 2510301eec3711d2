/** Placeholder until the AWS side replaces this file: answers only the issuer. */
import { createServer } from 'node:http';
import type { AwsEndpoint, AwsEndpointOptions } from '../model.ts';

export function createAwsEndpoint({ before }: AwsEndpointOptions): AwsEndpoint {
  const server = createServer(async (request, response) => {
    for (const handle of before) if (await handle(request, response)) return;
    response.writeHead(404).end();
  });
  return {
    factories: [],
    secretString() {
      throw new Error('no secrets yet');
    },
    listen: (port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', () => resolve());
      }),
    async resume() {},
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
