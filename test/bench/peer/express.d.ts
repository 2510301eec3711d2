/** The little of express that the peer uses; the package brings no types. */
declare module 'express' {
  import type { RequestListener } from 'node:http';

  namespace express {
    interface Request {
      readonly params: Readonly<Record<string, string>>;
      readonly requestContext: {
        readonly authorizer: { readonly jwt: { readonly claims: Readonly<Record<string, string>> } };
      };
    }
    interface Response {
      status(code: number): Response;
      json(body: unknown): Response;
    }
    type Handler = (request: Request, response: Response, next: (error?: unknown) => void) => unknown;
    interface Application extends RequestListener {
      disable(setting: string): void;
      use(handler: Handler): void;
      get(path: string, ...handlers: Handler[]): void;
    }
    function json(): Handler;
  }
  function express(): express.Application;
  export = express;
}
