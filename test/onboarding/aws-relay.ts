import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Passes requests on to the local AWS endpoint; a test may act between a request and its being passed on. */
export interface AwsRelay {
  url: string;
  /** Called with each request's body before it is passed on. */
  before: (body: string) => Promise<void> | void;
  stop(): Promise<void>;
}

export async function startAwsRelay(target: string): Promise<AwsRelay> {
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    await relay.before(body);
    // The signature covers the Host header, which the local endpoint does not check.
    const headers = Object.fromEntries(
      ['authorization', 'content-type', 'x-amz-date', 'x-amz-target'].flatMap((name) => {
        const value = request.headers[name];
        return typeof value === 'string' ? [[name, value]] : [];
      }),
    );
    const answer = await fetch(`${target}${request.url}`, {
      method: request.method ?? 'POST',
      headers,
      body,
    });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/xml' });
    response.end(await answer.text());
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const relay: AwsRelay = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    before: () => {},
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  return relay;
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}
