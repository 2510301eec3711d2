import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What one side sent until the other side answered. */
export interface Flight {
  readonly from: 'client' | 'server';
  bytes: number;
}

/** A TCP proxy that records who spoke when, and can keep the server's answers to itself. */
export interface FlightRecorder {
  readonly port: number;
  /** The flights since the last call. */
  take(): Flight[];
  /** From now on the client hears nothing; what the server says is delivered by `release`. */
  hold(): void;
  release(): void;
  /** Cuts every connection. */
  cut(): void;
  close(): Promise<void>;
}

export async function startFlightRecorder(serverPort: number): Promise<FlightRecorder> {
  let flights: Flight[] = [];
  let held: (() => void)[] | undefined;
  const sockets = new Set<Socket>();

  const record = (from: Flight['from'], bytes: number) => {
    const last = flights.at(-1);
    if (last?.from === from) last.bytes += bytes;
    else flights.push({ from, bytes });
  };
  const proxy = createServer({ noDelay: true }, (client) => {
    const server = connect({ host: '127.0.0.1', port: serverPort, noDelay: true });
    client.on('data', (chunk: Buffer) => {
      record('client', chunk.length);
      server.write(chunk);
    });
    server.on('data', (chunk: Buffer) => {
      const deliver = () => {
        record('server', chunk.length);
        client.write(chunk);
      };
      if (held) held.push(deliver);
      else deliver();
    });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    port: (proxy.address() as AddressInfo).port,
    take() {
      const taken = flights;
      flights = [];
      return taken;
    },
    hold() {
      held ??= [];
    },
    release() {
      const deliveries = held ?? [];
      held = undefined;
      for (const deliver of deliveries) deliver();
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      proxy.close();
      await once(proxy, 'close');
    },
  };
}
