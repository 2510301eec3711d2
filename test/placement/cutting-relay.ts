import { createServer, connect as dial, type Server, type Socket } from 'node:net';

/** A relay in front of a server that can lose what the server answers, as a network does. */
export class CuttingRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cutting = false;
  port = 0;

  constructor(target: number) {
    this.#server = createServer((client) => {
      const server = dial(target, '127.0.0.1');
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket)).on('error', () => {});
      }
      client.on('data', (bytes) => server.write(bytes));
      server.on('data', (bytes) => {
        if (!this.#cutting) {
          client.write(bytes);
          return;
        }
        // The server has answered, so it has done what it was told; nobody will hear of it.
        this.#cutting = false;
        client.destroy();
      });
      client.once('close', () => server.end());
      server.once('close', () => client.destroy());
    });
  }

  /** @param port a free one when absent. */
  async listen(port = 0): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(port, '127.0.0.1', done));
    this.port = (this.#server.address() as { port: number }).port;
    return this.port;
  }

  /** Loses the next answer, and the connection with it. */
  cutNextAnswer(): void {
    this.#cutting = true;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
