import { Agent, request } from 'node:http';
import { type BenchPlatform, benchPlatform } from '../bench-platform.ts';
import { inTurn } from '../in-turn.ts';
import { interleave, type Timing, timing } from '../interleave.ts';

export interface HttpLoad {
  readonly slug: string;
  readonly model: 'shared' | 'schema' | 'dedicated';
  /** GET /employees/{id}, one at a time, on a platform with a cache, and on one without. */
  readonly cached: Timing;
  readonly uncached: Timing;
  /** Clients that ask again as soon as they are answered. */
  readonly saturated: {
    readonly seconds: number;
    readonly requests: number;
    readonly timing: Timing;
    /** Answers that are not the intended ones, by status. */
    readonly unintended: Readonly<Record<number, number>>;
  };
}

const DEMO = [
  { slug: 'initech', model: 'shared' },
  { slug: 'globex', model: 'schema' },
  { slug: 'acme', model: 'dedicated' },
] as const;
const CLIENTS = 8;

interface Reply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of any shape.
  readonly body: any;
}

type Send = (method: string, path: string, body?: object) => Promise<Reply>;

/** Two platforms, with a cache and without, whose requests take turns; then load on the one with a cache. */
export async function measureHttpLoad(quick: boolean): Promise<HttpLoad[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
  const platforms: BenchPlatform[] = [];
  try {
    const withCache = await benchPlatform('on');
    platforms.push(withCache);
    const without = await benchPlatform('off');
    platforms.push(without);
    const contestants: Record<string, () => Promise<unknown>> = {};
    const senders = new Map<string, Send>();
    for (const { slug } of DEMO) {
      for (const platform of platforms) await liftLimits(platform, agent, slug);
      const send = await senderOf(withCache, agent, slug);
      senders.set(slug, send);
      contestants[`${slug} cached`] = await readsOf(send);
      contestants[`${slug} uncached`] = await readsOf(await senderOf(without, agent, slug));
    }
    const timings = await interleave(contestants, { rounds: quick ? 150 : 1_000, warmup: quick ? 50 : 200 });
    const loads: HttpLoad[] = [];
    for (const { slug, model } of DEMO) {
      const saturated = await saturate(senders.get(slug) as Send, quick ? 5 : 60);
      const [cached, uncached] = [timings[`${slug} cached`], timings[`${slug} uncached`]];
      loads.push({ slug, model, saturated, cached: cached as Timing, uncached: uncached as Timing });
    }
    return loads;
  } finally {
    agent.destroy();
    for (const platform of platforms) await platform.stop();
  }
}

/** What is measured is the platform, not the tenant's contract. */
async function liftLimits(platform: BenchPlatform, agent: Agent, slug: string): Promise<void> {
  const send = sender(platform, agent, await platform.token('--operator'));
  const { status } = await send('PATCH', `/tenants/${slug}`, { requestRate: 100_000, requestBurst: 100_000 });
  if (status !== 200) throw new Error(`PATCH /tenants/${slug} answered ${status}`);
}

async function senderOf(platform: BenchPlatform, agent: Agent, slug: string): Promise<Send> {
  return sender(platform, agent, await platform.token('--tenant', slug, '--user', `member@${slug}.test`));
}

/** Reads of twenty employees, which are cached after the first round, until they expire. */
async function readsOf(send: Send): Promise<() => Promise<void>> {
  const { body } = await send('GET', '/employees?limit=20');
  const id = inTurn((body.items as { employeeId: string }[]).map(({ employeeId }) => employeeId));
  return async () => {
    const { status } = await send('GET', `/employees/${id()}`);
    if (status !== 200) throw new Error(`GET /employees/{id} answered ${status}`);
  };
}

/** Seven of ten requests read an item, one reads a list, two write. */
async function saturate(send: Send, seconds: number): Promise<HttpLoad['saturated']> {
  const { body } = await send('GET', '/employees?limit=20');
  const ids = (body.items as { employeeId: string }[]).map(({ employeeId }) => employeeId);
  const id = inTurn(ids);
  const samples: number[] = [];
  const unintended: Record<number, number> = {};
  let count = 0;
  const end = performance.now() + seconds * 1_000;
  const client = async () => {
    while (performance.now() < end) {
      const turn = count++ % 10;
      const begun = performance.now();
      const { status } =
        turn < 7
          ? await send('GET', `/employees/${id()}`)
          : turn === 7
            ? await send('GET', '/skills')
            : await send('PATCH', `/employees/${id()}`, { jobTitle: `Engineer ${count}` });
      samples.push(performance.now() - begun);
      if (status !== 200) unintended[status] = (unintended[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { seconds, requests: samples.length, timing: timing(samples), unintended };
}

function sender({ apiUrl }: BenchPlatform, agent: Agent, token: string): Send {
  return (method, path, body) =>
    new Promise((done, failed) => {
      const headers = {
        authorization: `Bearer ${token}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      };
      const outgoing = request(`${apiUrl}${path}`, { agent, method, headers }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        answer.on('end', () =>
          done({ status: answer.statusCode ?? 0, body: text ? JSON.parse(text) : undefined }),
        );
      });
      outgoing.on('error', failed).end(body ? JSON.stringify(body) : undefined);
    });
}
