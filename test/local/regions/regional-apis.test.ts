import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EU, US } from './twin-stacks.ts';
import { startTwins, type TwoRegions } from './two-regions.ts';

const script = resolve(import.meta.dirname, '../../../infra/local/token.ts');
const run = promisify(execFile);

let twins: TwoRegions;

beforeAll(async () => {
  twins = await startTwins([US, EU]);
  const urlOf = (region: string) => twins.fixture.platform.apiUrls.get(region)!;
  const tenants = {
    home: { tenantId: 'h', apiUrl: urlOf(US) },
    away: { tenantId: 'a', apiUrl: `${urlOf(EU).replace('127.0.0.1', 'localhost')}/` },
    silent: { tenantId: 's' },
    lost: { tenantId: 'l', apiUrl: 'http://127.0.0.1:1' },
  };
  writeFileSync(twins.tenants, JSON.stringify(tenants));
});
afterAll(() => twins?.stop());

async function token(slug: string): Promise<string> {
  const { apiUrl } = twins.fixture.platform;
  const env = { ...process.env, API_PORT: new URL(apiUrl).port, STRATA_DIR: twins.fixture.stateDir };
  const words = [script, '--tenant', slug, '--user', `ann@${slug}.test`];
  return (await run(process.execPath, words, { env })).stdout.trim();
}

async function get(region: string, path: string, bearer = ''): Promise<{ status: number; body: unknown }> {
  const headers = { authorization: `Bearer ${bearer}` };
  const response = await fetch(`${twins.fixture.platform.apiUrls.get(region)}${path}`, { headers });
  return { status: response.status, body: await response.json() };
}

test('each region has an API of its own, with its own routes and functions', async () => {
  for (const region of [US, EU]) {
    expect(await get(region, '/where')).toMatchObject({ status: 200, body: { region } });
  }
  expect((await get(EU, '/tenants/home', await token('home'))).status).toBe(404);
});

test('a token is signed as the pool of the tenant’s region, which is the only one to accept it', async () => {
  const issuers = { home: US, away: EU, silent: US, lost: US };
  for (const [slug, region] of Object.entries(issuers)) {
    const bearer = await token(slug);
    expect(decodeJwt(bearer).iss).toBe(`${twins.fixture.platform.awsUrl}/${twins.outputs(region).Pool}`);
    const other = region === US ? EU : US;
    expect([slug, (await get(region, '/mine', bearer)).status]).toEqual([slug, 200]);
    expect([slug, (await get(other, '/mine', bearer)).status]).toEqual([slug, 401]);
  }
});

test('the state directory names every API with its issuer, and home’s as before', () => {
  const { context, apiUrl, apiUrls } = twins.fixture.platform;
  const { issuer, clientId, issuers } = context.state.load<Record<string, unknown>>('identity', {});
  expect(Object.keys(issuers as object)).toEqual([...apiUrls.values()]);
  expect((issuers as Record<string, unknown>)[apiUrl]).toEqual({ issuer, clientId, awsRegion: US });
});
