import { beforeAll, describe, expect, test } from 'vitest';
import { FULL_RUN } from '../full-run.ts';
import { MovingTenant } from './moving-tenant.ts';
import { ApiDocument } from './openapi-document.ts';
import { ApiDriver } from './openapi-driver.ts';
import { onboardOwnTenant, platform } from './running-platform.ts';

let document: ApiDocument;
beforeAll(async () => {
  document = await ApiDocument.read();
});

const ofKind = (kind: string) => document.operations.filter((one) => one.kind === kind);

describe('every operation of the document answers as documented', () => {
  test('operations of a tenant', { timeout: 120_000 }, async () => {
    const driver = new ApiDriver(document, await onboardOwnTenant());
    await driver.drive(ofKind('tenant'));
    expect(driver.driven.sort()).toEqual(
      ofKind('tenant')
        .map(({ id }) => id)
        .sort(),
    );
  });

  test('operations of operators', { timeout: 240_000 }, async () => {
    const driver = new ApiDriver(document, await onboardOwnTenant());
    await driver.drive(ofKind('operator'));
    expect(driver.driven.sort()).toEqual(
      ofKind('operator')
        .map(({ id }) => id)
        .sort(),
    );
  });

  test('operations without a token', async () => {
    const driver = new ApiDriver(document, 'nobody');
    await driver.drive(ofKind('public'));
  });
});

test('the page at /docs loads everything from this API, and may load nothing else', async () => {
  const { apiUrl } = platform();
  const page = await fetch(`${apiUrl}/docs`);
  const html = await page.text();
  const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(
    ([, path]) => new URL(path ?? '', page.url),
  );
  expect(loaded.map(({ origin }) => origin)).toEqual(loaded.map(() => new URL(apiUrl).origin));
  const answers = await Promise.all(loaded.map((url) => fetch(url)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(answers.map(({ headers }) => headers.get('content-encoding'))).toEqual(answers.map(() => 'gzip'));
  const policy = page.headers.get('content-security-policy') ?? '';
  expect(policy).toMatch(/^default-src 'none'; script-src 'self';/);
  expect(policy).not.toMatch(/https?:|\*/);
  const plain = await fetch(`${apiUrl}/openapi.json`, { headers: { 'accept-encoding': 'identity' } });
  expect(plain.headers.get('content-encoding')).toBeNull();
  expect(await plain.json()).toEqual(document.json);
  expect((await fetch(`${apiUrl}/docs/handler.mjs`)).status).toBe(404);
});

describe.runIf(FULL_RUN)('under every isolation model, after each move up and down', () => {
  test('operations of a tenant', { timeout: 600_000 }, async () => {
    const tenant = await MovingTenant.create();
    for (const targetTier of ['business', 'enterprise', 'business', 'starter']) {
      const move = await tenant.move({ targetTier, force: true });
      expect(move.status, `${targetTier}: ${move.reason}`).toBe('succeeded');
      await new ApiDriver(document, tenant.slug).drive(ofKind('tenant'));
    }
  });
});
