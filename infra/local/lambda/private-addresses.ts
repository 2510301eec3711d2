import net from 'node:net';

/**
 * Blocks private addresses for a function that is in no VPC: everything on this machine except the given ports,
 * including databases. The connection fails with AWS's final error, but at once.
 * @param functionName for the error's message
 * @returns opens a further port
 */
export function closePrivateAddresses(
  functionName: string,
  openPorts: readonly number[],
): (port: number) => void {
  const open = new Set(openPorts);
  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function (this: net.Socket, ...parameters: unknown[]) {
    const { host, port } = targetOf(parameters);
    if (port !== undefined && isThisMachine(host) && !open.has(port)) {
      const error = new Error(
        `connect ETIMEDOUT ${host}:${port} (locally: function ${functionName} is in no VPC, so it reaches no private address)`,
      );
      process.nextTick(() => this.destroy(Object.assign(error, { code: 'ETIMEDOUT', syscall: 'connect' })));
      return this;
    }
    return Reflect.apply(connect, this, parameters) as net.Socket;
  } as typeof connect;
  return (port) => void open.add(port);
}

/** The argument forms of `connect`; Node's own callers pass the list of options and callback as one. */
function targetOf(parameters: unknown[]): { host: string; port: number | undefined } {
  const first = Array.isArray(parameters[0]) ? (parameters[0][0] as unknown) : parameters[0];
  if (typeof first === 'object' && first !== null) {
    const { host, port } = first as { host?: string; port?: number | string };
    return { host: host ?? 'localhost', port: port === undefined ? undefined : Number(port) };
  }
  const host = typeof parameters[1] === 'string' ? parameters[1] : 'localhost';
  const port = Number(first);
  // The path of a local socket is not a number.
  return { host, port: Number.isInteger(port) ? port : undefined };
}

const isThisMachine = (host: string): boolean => /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/.test(host);
