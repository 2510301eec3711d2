import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Move, MovePhase } from '../../../infra/cli/moves/move-json.ts';

export interface PeerRequest {
  method: string;
  /** With its query. */
  path: string;
  authorization: string | undefined;
  body: unknown;
}

export interface PeerAnswer {
  status?: number;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface ApiPeer {
  url: string;
  requests: PeerRequest[];
  /** Answers `METHOD path` from now on; the answers of a list are given one after the other, the last one again. */
  on(route: string, ...answers: PeerAnswer[]): void;
  close(): Promise<void>;
}

/** An HTTP server that speaks the documented JSON of the operator's API. */
export async function startApiPeer(): Promise<ApiPeer> {
  const answers = new Map<string, PeerAnswer[]>();
  const requests: PeerRequest[] = [];
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request;
    const text = await textOf(request);
    const body = text === '' ? undefined : JSON.parse(text);
    requests.push({ method, path: url, authorization: headers.authorization, body });
    const planned = answers.get(`${method} ${url}`) ?? answers.get(`${method} ${url.replace(/\?.*/, '')}`);
    const answer = planned && planned.length > 1 ? planned.shift() : planned?.[0];
    const { status = 200, body: reply, headers: more = {} } = answer ?? notFound;
    response.writeHead(status, { 'content-type': 'application/json', ...more });
    response.end(reply === undefined ? '' : JSON.stringify(reply));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    on: (route, ...planned) => void answers.set(route, planned),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

const notFound: PeerAnswer = {
  status: 404,
  body: {
    type: 'urn:strata:problem:not-found',
    title: 'Not Found',
    status: 404,
    detail: 'There is no such tenant.',
  },
};

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

export const MOVE_ID = '0b7e6b0e-5a3c-4d55-9a8e-1f0c2f6f1a01';
export const STARTED = '2026-05-01T10:00:00.000Z';

export function phase(name: string, change: Partial<MovePhase> = {}): MovePhase {
  const done = { status: 'done' as const, finishedAt: '2026-05-01T10:00:02.500Z' };
  return { hop: 0, name, startedAt: STARTED, ...done, ...change };
}

/** A running move of a Starter tenant to Business. */
export function aMove(change: Partial<Move> = {}): Move {
  return {
    moveId: MOVE_ID,
    tenantId: '7d3f0c1e-97a5-4e0c-8a0b-6a4c7c4f2d10',
    status: 'running',
    phase: 'copy',
    reason: null,
    target: { tier: 'business' },
    plan: [
      {
        hop: 0,
        kind: 'reshape',
        from: { isolationModel: 'shared', cellId: 'us-1', region: 'us' },
        to: { isolationModel: 'schema', cellId: 'us-1', region: 'us' },
        state: 'working',
      },
    ],
    phases: [],
    currentPauseMs: null,
    report: null,
    abortRequestedAt: null,
    startedAt: STARTED,
    finishedAt: null,
    ...change,
  };
}

export function endedMove(status: 'succeeded' | 'failed' | 'aborted', reason: string | null = null): Move {
  return aMove({
    status,
    reason,
    phase: 'finish',
    finishedAt: '2026-05-01T10:00:12.300Z',
    phases: [phase('prepare'), phase('copy', { rowsDone: 1_234, bytesDone: 56_789 })],
    report: { writePauseMs: 12.94, rows: 1_234, bytes: 56_789, retriedRequests: 3, seconds: 12.3 },
  });
}
