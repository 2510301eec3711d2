import { createServer, type Server } from 'node:http';
import { SIGN_IN_PORTS, signInCallback } from '../../../functions/contracts/names.ts';
import { CommandError } from '../errors.ts';

/** Waits on this machine for the redirection that ends a sign-in. */
export interface CallbackServer {
  readonly redirectUri: string;
  /**
   * The URL of the redirection, with its parameters.
   * @throws {CommandError} it has not come in time.
   */
  redirection(state: string): Promise<URL>;
  close(): void;
}

/** People look for their second factor first. */
const PATIENCE_MS = 10 * 60_000;
const DONE = '<!doctype html><meta charset="utf-8"><title>Strata</title><p>Return to the terminal.</p>';

/** Listens on the first of the fixed ports that is free. @throws {CommandError} none is. */
export async function callbackServer(): Promise<CallbackServer> {
  for (const port of SIGN_IN_PORTS) {
    const server = createServer();
    // On loopback only: nobody else on the network may end the sign-in.
    if (await listens(server, port)) return serving(server, port);
  }
  throw new CommandError(`the ports ${SIGN_IN_PORTS.join(', ')} are busy: a sign-in needs one of them`);
}

function listens(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
}

function serving(server: Server, port: number): CallbackServer {
  const redirectUri = signInCallback(port);
  return {
    redirectUri,
    redirection(state) {
      const { promise, resolve, reject } = Promise.withResolvers<URL>();
      const timer = setTimeout(
        () => reject(new CommandError('nobody has signed in: run strata login again')),
        PATIENCE_MS,
      );
      server.on('request', (request, response) => {
        const url = new URL(request.url ?? '/', redirectUri);
        // A request without the state is not the end of this sign-in, and must not end it.
        const isOurs = url.pathname === '/callback' && url.searchParams.get('state') === state;
        response.writeHead(isOurs ? 200 : 404, {
          'content-type': 'text/html; charset=utf-8',
          'cache-control': 'no-store',
          // The code in the address must not reach another page.
          'referrer-policy': 'no-referrer',
          connection: 'close',
        });
        response.end(isOurs && request.method === 'GET' ? DONE : '', () => {
          if (isOurs && request.method === 'GET') resolve(url);
        });
      });
      return promise.finally(() => clearTimeout(timer));
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
