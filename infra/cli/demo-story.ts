/**
 * The story of `npm run demo`: one tenant goes from Starter to Business, to Enterprise and back down, while clients
 * work with it. Every figure is measured: by the clients' ledger, or by the moves' own reports.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, ApiError, movePath, tenantPath } from './api-client.ts';
import { ClientLoad, sendThrough } from './client-load.ts';
import { CommandError } from './errors.ts';
import { type Move, targetText } from './moves/move-json.ts';
import type { Screen } from './screen.ts';
import { countText, pauseText } from './shown-text.ts';
import { columns } from './table.ts';

export interface DemoPlatform {
  readonly operator: ApiClient;
  /** The API as an administrator of that tenant. */
  asAdmin(tenantId: string): Promise<ApiClient>;
  readonly screen: Screen;
}

export interface StoryOutcome {
  readonly failedRequests: number;
  readonly lostRows: number;
}

const SLUG = 'nomad';
export const DEMO_ADMIN = `admin@${SLUG}.test`;
const TIERS = ['business', 'enterprise', 'business', 'starter'] as const;

/**
 * @throws {CommandError} when a move does not succeed. @throws {ApiError | TypeError} when the platform refuses or does
 * not answer
 */
export async function tellStory({ operator, asAdmin, screen }: DemoPlatform): Promise<StoryOutcome> {
  const tenantId = await starterTenant(operator, screen);
  const admin = await asAdmin(tenantId);
  const load = new ClientLoad(sendThrough(admin), {
    prefix: `demo-${Date.now().toString(36)}`,
    writers: 3,
    readers: 3,
  });
  screen.line(`3 writers and 3 readers work with ${SLUG}, over HTTP, from now on.`);
  load.start();
  await load.written(100);
  const moves: Move[] = [];
  for (const tier of TIERS) {
    screen.line('');
    screen.line(`${SLUG} goes to ${tier}`);
    moves.push(await follow(operator, await moveTo(operator, tier), load, screen));
    await load.written(100);
  }
  const figures = await load.stop();
  const problems = [...load.violations, ...(await load.verify())];
  const failedRequests = load.violations.length;
  const lostRows = problems.length - failedRequests;
  screen.line('');
  for (const line of moveFigures(moves)) screen.line(line);
  screen.line('');
  screen.line(
    `${countText(figures.requests)} requests, ${countText(figures.writes)} of them writes; ` +
      `the slowest took ${Math.round(figures.slowestMs)} ms`,
  );
  screen.line(`${failedRequests} failed requests, ${lostRows} rows lost`);
  for (const problem of problems.slice(0, 5)) screen.line(`  ${problem}`);
  return { failedRequests, lostRows };
}

/** The demo's own tenant, moved back to Starter if an earlier demo was interrupted. */
async function starterTenant(operator: ApiClient, screen: Screen): Promise<string> {
  const known = await operator.get<TenantBody>(tenantPath(SLUG)).catch(unlessMissing);
  if (!known) {
    await operator.post('/tenants', { name: 'Nomad Ltd', slug: SLUG, adminEmail: DEMO_ADMIN });
  }
  let tenant = await operator.get<TenantBody>(tenantPath(SLUG));
  for (; tenant.status === 'provisioning'; tenant = await operator.get(tenantPath(SLUG))) await delay(50);
  if (tenant.status !== 'active')
    throw new CommandError(`the demo's tenant is ${tenant.status}: ${tenant.reason}`);
  if (tenant.tier !== 'starter') {
    screen.line(`${SLUG} is at ${tenant.tier} from an earlier demo: back to starter first`);
    await follow(operator, await moveTo(operator, 'starter'), undefined, screen);
  }
  // Its load is more than a Starter tenant may send where the region limits requests.
  await operator.patch(tenantPath(SLUG), { requestRate: 100_000, requestBurst: 100_000 });
  screen.line(`${SLUG} is a Starter tenant: rows in tables that it shares with others.`);
  return tenant.tenantId;
}

interface TenantBody {
  readonly tenantId: string;
  readonly status: string;
  readonly tier: string;
  readonly reason: string | null;
}

async function moveTo(operator: ApiClient, targetTier: string): Promise<string> {
  // The tenant grows with every demo, beyond the limits of the lower tiers.
  const body = { targetTier, force: true };
  const { moveId } = await operator.post<{ moveId: string }>(`${tenantPath(SLUG)}/moves`, body);
  return moveId;
}

/** Shows the move together with the load until the move ends. */
async function follow(
  operator: ApiClient,
  moveId: string,
  load: ClientLoad | undefined,
  screen: Screen,
): Promise<Move> {
  const lines = new PhaseLines(screen);
  let before = load?.figures;
  let since = performance.now();
  for (;;) {
    const move = await operator.get<Move>(movePath(SLUG, moveId));
    const figures = load?.figures;
    const seconds = (performance.now() - since) / 1_000;
    const perSecond = figures && before && seconds > 0 ? (figures.requests - before.requests) / seconds : 0;
    [before, since] = [figures, performance.now()];
    lines.show(move, figures && { ...figures, perSecond, failed: load?.violations.length ?? 0 });
    if (move.status === 'succeeded') return move;
    if (move.status !== 'running') throw new CommandError(`the move ended ${move.status}: ${move.reason}`);
    await delay(100);
  }
}

function unlessMissing(error: unknown): undefined {
  if (error instanceof ApiError && error.status === 404) return undefined;
  throw error;
}

export interface LoadNow {
  readonly perSecond: number;
  readonly recentP99Ms: number;
  readonly failed: number;
}

type Stage = Pick<Move, 'phase' | 'status'>;

/** Shows each phase of a move in one line: redrawn on a terminal while it lasts, otherwise printed at its end. */
export class PhaseLines {
  readonly #screen: Screen;
  #stage: string | undefined;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  show({ phase, status }: Stage, load: LoadNow | undefined): void {
    const stage = `${phase} ${status}`;
    const isNew = stage !== this.#stage;
    this.#stage = stage;
    const line = phaseLine({ phase, status }, load);
    if (!this.#screen.live) {
      if (isNew) this.#screen.line(line);
      return;
    }
    // A finished phase keeps its line.
    if (isNew) this.#screen.keep();
    this.#screen.redraw([line]);
  }
}

function phaseLine({ phase, status }: Stage, load: LoadNow | undefined): string {
  const what = (status === 'running' ? phase : status).padEnd(12);
  if (!load) return `  ${what}`;
  const rate = Math.round(load.perSecond).toString().padStart(5);
  return `  ${what} load ${rate} requests/s, p99 ${Math.round(load.recentP99Ms)} ms, ${load.failed} failed`;
}

/** The figures of the moves' reports. */
export function moveFigures(moves: readonly Move[]): string[] {
  return columns([
    ['move to', 'hops', 'rows', 'seconds', 'write pause', 'requests retried'],
    ...moves.map(({ target, plan, report }) => [
      targetText(target),
      plan.map(({ kind }) => kind).join(' + '),
      countText(report?.rows ?? 0),
      (report?.seconds ?? 0).toFixed(1),
      pauseText(report?.writePauseMs ?? 0),
      String(report?.retriedRequests ?? 0),
    ]),
  ]);
}
