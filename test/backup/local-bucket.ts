import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { ObjectStore } from '../../functions/aws/object-store.ts';
import {
  freePort,
  internals,
  LOCAL_ACCOUNT,
  type PlatformContext,
  stateFile,
} from '../../infra/local/index.ts';
import { clientOf } from './s3-client.ts';

const { createAwsEndpoint, localPrincipals, claimStateDirectory, prepareStateDirectory } = await internals();

/** How the relay treats a request to S3. */
export type Fault =
  /** The request passes, after a delay if `afterMs` or `after` is given. */
  | { readonly kind: 'pass'; readonly afterMs?: number; readonly after?: Promise<void> }
  /** S3 answers that it is overloaded. */
  | { readonly kind: 'busy' }
  /** S3 answers that another conditional write of the key is running. */
  | { readonly kind: 'conflict' }
  /** The connection breaks in the middle of the request or of the answer. */
  | { readonly kind: 'cut' }
  /** The answer pauses in the middle until `until` resolves. */
  | { readonly kind: 'stall'; readonly until: Promise<unknown> };

export interface S3Call {
  readonly method: string;
  /** Includes the query. */
  readonly url: string;
}

/** The S3 of the local AWS endpoint with one bucket, behind a relay that can disturb requests. */
export interface LocalBucket {
  readonly store: ObjectStore;
  readonly name: string;
  readonly endpoint: string;
  /** Sets the function that chooses the fault of each later request. undefined: all requests pass. */
  disturb(fault: ((call: S3Call) => Fault) | undefined): void;
  stop(): Promise<void>;
}

export async function startLocalBucket(name = 'backups'): Promise<LocalBucket> {
  const stateDir = mkdtempSync(join(tmpdir(), 'strata-local-bucket-'));
  chmodSync(stateDir, 0o755);
  prepareStateDirectory(claimStateDirectory(stateDir));
  const state = stateFile(join(stateDir, 'state'));
  const absent = () => Promise.reject(new Error('this endpoint has S3 only'));
  const port = await freePort(undefined, new Set());
  const context = {
    stateDir,
    account: LOCAL_ACCOUNT,
    awsUrl: `http://127.0.0.1:${port}`,
    stacks: new Map(),
    state,
    waitScale: 0,
    caCertificate: '',
    log: () => {},
    principals: localPrincipals(state),
    functions: { invoke: absent, list: () => [] },
    clusters: { stop: async () => {} },
    assets: {},
    deployer: {},
  } as unknown as PlatformContext;
  const endpoint = createAwsEndpoint({ context, before: [] });
  await endpoint.listen(port);
  let fault: ((call: S3Call) => Fault) | undefined;
  const relay = await startRelay(port, (call) => fault?.(call) ?? { kind: 'pass' });
  const url = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
  const client = clientOf(url);
  await client.send(new CreateBucketCommand({ Bucket: name }));
  return {
    store: new ObjectStore(name, {}, async () => client),
    name,
    endpoint: url,
    disturb: (next) => {
      fault = next;
    },
    async stop() {
      client.destroy();
      relay.closeAllConnections();
      relay.close();
      await endpoint.stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

async function startRelay(port: number, decide: (call: S3Call) => Fault): Promise<Server> {
  const relay = createServer((incoming, outgoing) => {
    const fault = decide({ method: incoming.method ?? '', url: incoming.url ?? '' });
    handle(port, fault, incoming, outgoing).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  return relay;
}

async function handle(
  port: number,
  fault: Fault,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  if (fault.kind === 'busy' || fault.kind === 'conflict') {
    const [status, code] = fault.kind === 'busy' ? [503, 'SlowDown'] : [409, 'ConditionalRequestConflict'];
    incoming.resume();
    outgoing.writeHead(status, { 'content-type': 'application/xml' });
    outgoing.end(`<Error><Code>${code}</Code><Message>Try again.</Message></Error>`);
    return;
  }
  if (fault.kind === 'pass') {
    if (fault.afterMs !== undefined) await delay(fault.afterMs);
    await fault.after;
  }
  const { method, url: path, headers } = incoming;
  const onward = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    if (fault.kind === 'pass') {
      answer.pipe(outgoing);
      return;
    }
    if (fault.kind === 'stall') {
      answer.once('data', (chunk: Buffer) => {
        answer.pause();
        outgoing.write(chunk.subarray(0, chunk.length / 2));
        fault.until.then(() => {
          outgoing.write(chunk.subarray(chunk.length / 2));
          answer.pipe(outgoing);
        });
      });
      return;
    }
    answer.once('data', (chunk: Buffer) => {
      outgoing.write(chunk.subarray(0, chunk.length / 2), () => incoming.socket.destroy());
      answer.destroy();
    });
  });
  onward.on('error', () => incoming.socket.destroy());
  if (fault.kind === 'cut' && method === 'PUT') {
    incoming.once('data', () => incoming.socket.destroy());
    onward.destroy();
    return;
  }
  incoming.pipe(onward);
}
