/** Two releases on one state: the second one's rollout starts by itself, works beside requests, and survives kills. */
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ApiClient } from '../../infra/cli/api-client.ts';
import { ClientLoad } from '../../infra/cli/client-load.ts';
import type { Move } from '../../infra/cli/moves/move-json.ts';
import type { Rollout } from '../../infra/cli/rollouts/rollout-json.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { inDatabases } from '../platform/platform-databases.ts';
import { addColumn, buildRelease, NEXT_VERSION } from '../release.ts';
import { OwnPlatform } from './own-platform.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const TIMEOUT_MS = 240_000;
const scratch = mkdtempSync(join(tmpdir(), 'strata-release-'));
let platform: OwnPlatform;
let older: OwnPlatform;
let api: ApiClient;

beforeAll(async () => {
  const [first, second] = [
    (await sharedAssembly('local')).directory,
    await buildRelease({
      directory: scratch,
      migration: { name: 'notes' },
      edits: {
        'database/tables/assessments-tables.ts': addColumn('certifications', 'note'),
        // Behind the last one.
        'registry/bootstrap-registry.ts': (source) =>
          source.replace(
            /( {2}\{ name: '\d{4}-[a-z-]+', statements: \w+ \},\n)\];/,
            "$1  { name: '9999-next', statements: ['ALTER TABLE tenants ADD COLUMN next text'] },\n];",
          ),
      },
    }),
  ];
  older = new OwnPlatform(PROJECT, undefined, { STRATA_ASSEMBLY: first });
  await older.start();
  await older.kill();
  platform = new OwnPlatform(PROJECT, older.directory, { STRATA_ASSEMBLY: second });
  await platform.start();
  api = await platform.client();
}, TIMEOUT_MS);
afterAll(async () => {
  await platform?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** Schemas that have the column of the second release, and those that have tenant tables; not places that tenants left. */
async function schemas(at = platform): Promise<{ updated: string[]; all: string[] }> {
  const of = async (condition: string) =>
    (
      await inDatabases(
        at,
        `SELECT nspname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
         WHERE relname = 'certifications' AND ${condition}
           AND (nspname = 'shared' OR nspname IN (SELECT schema_name FROM tenancy.placement WHERE state <> 'moved'))
         ORDER BY 1`,
      )
    ).map(({ name }) => String(name));
  const has = `EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'note' AND NOT attisdropped)`;
  return { updated: await of(has), all: await of('true') };
}

/** Makes every target as the first release left it. */
async function setBack(): Promise<void> {
  for (const schema of new Set((await schemas()).updated)) {
    const history = schema === 'shared' ? 'tenancy.shared_schema_migrations' : `${schema}.schema_migrations`;
    await inDatabases(
      platform,
      `DO $$ BEGIN
         IF to_regnamespace('${schema}') IS NOT NULL THEN
           ALTER TABLE ${schema}.certifications DROP COLUMN IF EXISTS note;
           DELETE FROM ${history} WHERE name LIKE '000${NEXT_VERSION}%';
         END IF;
       END $$`,
    );
  }
  for (const table of ['cells', 'tenant_database_routing']) {
    await inDatabases(platform, `UPDATE ${table} SET schema_version = ${NEXT_VERSION - 1}`, 'registry');
  }
}

async function ended(): Promise<Rollout> {
  let last: Rollout | undefined;
  const over = async () => {
    last = (await api.list<Rollout>('/rollouts')).at(-1);
    return last !== undefined && last.status !== 'running';
  };
  await vi.waitUntil(over, { timeout: 90_000, interval: 50 });
  return last as Rollout;
}

test('a deployment over existing state rolls out by itself: all three models, told in one line', async () => {
  expect(await ended()).toMatchObject({
    status: 'succeeded',
    startedBy: 'deployment',
    models: { shared: { succeeded: 2 }, schema: { succeeded: 1 }, dedicated: { succeeded: 1 } },
  });
  const told = `\nrollout succeeded: 4 of 4 targets at version ${NEXT_VERSION}\n`;
  await vi.waitUntil(() => platform.printed.includes(told));
  const { updated, all } = await schemas();
  expect(all).toHaveLength(4);
  expect(updated).toEqual(all);
});

test(
  'no request fails while a rollout changes the tables under it',
  async () => {
    await setBack();
    const loads: ClientLoad[] = [];
    for (const slug of ['initech', 'globex', 'acme']) {
      const { tenantId } = await api.get<{ tenantId: string }>(`/tenants/${slug}`);
      const send = await platform.sender({ tenantId, email: `admin@${slug}.test` });
      loads.push(
        new ClientLoad(send, { prefix: `r-${slug}`, writers: 2, readers: 1, restMs: 10, atMost: 5 }),
      );
    }
    for (const load of loads) load.start();
    for (const load of loads) await load.written(5);
    const asked = await api.post<Rollout>('/rollouts', {});
    await expect(api.post('/rollouts', {})).rejects.toMatchObject({ status: 409 });
    expect(await ended()).toMatchObject({ rolloutId: asked.rolloutId, status: 'succeeded' });
    for (const load of loads) await load.stop();
    for (const load of loads) expect([load.violations, await load.verify()]).toEqual([[], []]);
    const { updated, all } = await schemas();
    expect(updated).toEqual(all);
  },
  TIMEOUT_MS,
);

test.each(['Begin', 'Canary', 'Wave', 'Finish'])(
  'the platform killed at "%s" of a rollout: the next start finishes it',
  async (state) => {
    await setBack();
    const killed = await platform.startExecution('schema-rollout', {});
    await platform.entered(killed, state);
    await platform.kill();
    await platform.start();
    api = await platform.client();
    const done = async () => {
      const { updated, all } = await schemas();
      return updated.length === all.length && (await ended()).targets.failed === 0;
    };
    await vi.waitUntil(done, { timeout: 90_000, interval: 100 });
    // The killed one has its end, too; killed at the end, it had left nothing to do.
    const statuses = (await api.list<Rollout>('/rollouts')).map(({ status }) => status);
    expect(new Set(statuses).size).toBeLessThanOrEqual(2);
    expect(statuses).not.toContain('running');
    expect(statuses).not.toContain('failed');
  },
  TIMEOUT_MS,
);

test(
  'a rollout and moves that begin with it: each tenant is served all the time, and ends moved and up to date',
  async () => {
    await setBack();
    const { cellId } = await api.get<{ cellId: string }>('/tenants/globex');
    const moving = [
      ['initech', { targetTier: 'business' }],
      ['globex', { targetCell: cellId === 'us-1' ? 'us-2' : 'us-1' }],
    ] as const;
    const loads: ClientLoad[] = [];
    for (const [slug] of moving) {
      const { tenantId } = await api.get<{ tenantId: string }>(`/tenants/${slug}`);
      const send = await platform.sender({ tenantId, email: `admin@${slug}.test` });
      loads.push(
        new ClientLoad(send, { prefix: `m-${slug}`, writers: 2, readers: 1, restMs: 10, atMost: 5 }),
      );
    }
    for (const load of loads) load.start();
    for (const load of loads) await load.written(5);
    const moves: string[] = [];
    for (const [slug, body] of moving) {
      const { moveId } = await api.post<{ moveId: string }>(`/tenants/${slug}/moves`, body);
      moves.push(`/tenants/${slug}/moves/${moveId}`);
    }
    await api.post('/rollouts', {});
    expect(await ended()).toMatchObject({ status: 'succeeded' });
    for (const path of moves) {
      let move: Move | undefined;
      const over = async () => {
        move = await api.get<Move>(path);
        return move.status !== 'running';
      };
      await vi.waitUntil(over, { timeout: 90_000, interval: 100 });
      expect(move, move?.reason ?? '').toMatchObject({ status: 'succeeded' });
    }
    for (const load of loads) await load.stop();
    for (const load of loads) expect([load.violations, await load.verify()]).toEqual([[], []]);
    const { updated, all } = await schemas();
    expect(updated).toEqual(all);
  },
  TIMEOUT_MS,
);

test(
  'a schema that refuses its migration is listed with its reason; the others are served and up to date; then the rest',
  async () => {
    await setBack();
    const [globex] = (await schemas()).all.filter((schema) => schema.startsWith('tenant_'));
    const on = (statement: string) =>
      inDatabases(
        platform,
        `DO $$ BEGIN IF to_regnamespace('${globex}') IS NOT NULL THEN ${statement}; END IF; END $$`,
      );
    await on(`ALTER TABLE ${globex}.certifications ADD COLUMN note integer`);
    await api.post('/rollouts', {});
    const { rolloutId } = await ended();
    const failed = await api.get<Rollout>(`/rollouts/${rolloutId}`);
    expect(failed).toMatchObject({
      status: 'failed',
      failed: [{ reason: expect.stringMatching(/column "note" .*already exists \(42701\)/) }],
    });
    await on(`ALTER TABLE ${globex}.certifications DROP COLUMN note`);
    await api.post('/rollouts', {});
    expect(await ended()).toMatchObject({ status: 'succeeded' });
    const { updated, all } = await schemas();
    expect(updated).toEqual(all);
  },
  TIMEOUT_MS,
);

test(
  'a deployment that is rolled back runs the older release on the newer databases, and says so in the log',
  async () => {
    await platform.kill();
    await older.start();
    const logs = join(platform.stateDir, 'logs');
    const told = globSync('**/*', { cwd: logs })
      .filter((file) => statSync(join(logs, file)).isFile())
      .flatMap((file) => readFileSync(join(logs, file), 'utf8').split('\n'))
      .filter((line) => line.includes('is ahead of this release'));
    expect(told.some((line) => line.includes('the registry'))).toBe(true);
    expect(told.some((line) => line.includes('the cell'))).toBe(true);
    const client = await older.client();
    for (const slug of ['initech', 'globex', 'acme']) {
      const { tenantId } = await client.get<{ tenantId: string }>(`/tenants/${slug}`);
      const send = await older.sender({ tenantId, email: `admin@${slug}.test` });
      expect((await send('GET', '/employees?limit=1')).status).toBe(200);
    }
    const { updated, all } = await schemas(older);
    expect(updated).toEqual(all);
    await older.kill();
    await platform.start();
  },
  TIMEOUT_MS,
);
