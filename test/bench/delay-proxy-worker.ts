/**
 * The thread behind `delay-proxy.ts`: passes bytes on a fixed time after they came, in both directions.
 *
 * While bytes wait, it turns its event loop instead of sleeping: timers are a millisecond coarse, which is the very
 * thing to be measured, and a thread that slept could not take the time at which the next bytes come.
 */
import { connect, createServer, type Socket } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const { targetPort } = workerData as { targetPort: number };
let delayMs = 0;
/** In the order in which they fall due: the delay is the same for all. */
const waiting: { readonly due: number; readonly deliver: () => void }[] = [];

function pass(from: Socket, to: Socket): void {
  from.on('data', (chunk) => {
    const deliver = () => to.write(chunk);
    if (delayMs === 0 && waiting.length === 0) return void deliver();
    if (waiting.push({ due: performance.now() + delayMs, deliver }) === 1) setImmediate(deliverDue);
  });
  from.on('error', () => {});
  from.on('close', () => to.destroy());
}

function deliverDue(): void {
  const now = performance.now();
  while (waiting[0] && waiting[0].due <= now) waiting.shift()?.deliver();
  if (waiting.length > 0) setImmediate(deliverDue);
}

const proxy = createServer({ noDelay: true }, (client) => {
  const server = connect({ host: '127.0.0.1', port: targetPort, noDelay: true });
  pass(client, server);
  pass(server, client);
});
parentPort?.on('message', (milliseconds: number) => {
  delayMs = milliseconds;
  parentPort?.postMessage('set');
});
proxy.listen(0, '127.0.0.1', () => parentPort?.postMessage((proxy.address() as { port: number }).port));
