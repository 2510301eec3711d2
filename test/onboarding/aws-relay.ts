import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Passes requests on to the local AWS endpoint; a test may act between a request and its being passed on. */
export interface AwsRelay {
  url: string;
  /** Called with each request's body before it is passed on. */
  before: (body: string) => Promise<void> | void;
  /** Called with each operation's name. One that is dropped is never run, one that is lost runs without an answer. */
  fate: (operation: string) => 'passed' | 'dropped' | 'lost';
  stop(): Promise<void>;
}

export async function startAwsRelay(target: string): Promise<AwsRelay> {
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    await relay.before(body);
    const fate = relay.fate(operationOf(request, body));
    if (fate === 'dropped') return void request.socket.destroy();
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
    if (fate === 'lost') return void request.socket.destroy();
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/xml' });
    response.end(await answer.text());
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const relay: AwsRelay = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    before: () => {},
    fate: () => 'passed',
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  return relay;
}

/** Of a form, of JSON with a target, or of a path. */
function operationOf({ headers, url }: IncomingMessage, body: string): string {
  const target = headers['x-amz-target'];
  if (typeof target === 'string') return target.slice(target.lastIndexOf('.') + 1);
  return new URLSearchParams(body).get('Action') ?? (url ?? '').slice(1);
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}
