import { beforeAll, describe, expect, test } from 'vitest';
import { sampled } from '../full-run.ts';
import { databaseOf, inRegistry } from './backup-runs.ts';
import { ApiDocument, type Operation } from './openapi-document.ts';
import { ApiDriver } from './openapi-driver.ts';
import { wrongBodies, wrongTexts } from './openapi-values.ts';
import { call, onboardOwnTenant, operatorToken, unique, userToken } from './running-platform.ts';

const NOBODY = '00000000-0000-4000-8000-000000000000';

let document: ApiDocument;
let slug: string;
let tenantId: string;
let driver: ApiDriver;
beforeAll(async () => {
  document = await ApiDocument.read();
  // With a schema of its own, so that all of its rows can be compared.
  slug = await onboardOwnTenant({ tier: 'business' });
  tenantId = (await call('GET', `/tenants/${slug}`, { token: await operatorToken() })).body.tenantId;
  driver = new ApiDriver(document, slug);
});

interface BadRequest {
  readonly what: string;
  readonly path: string;
  readonly body?: unknown;
  readonly raw?: string;
  readonly headers?: Record<string, string>;
  readonly status: number;
  /** Where the refusal points to. */
  readonly place?: { readonly pointer?: string; readonly parameter?: string };
}

/** Ids that name nothing: a request is refused before anybody looks for them. */
function somePath(operation: Operation, wrong: Readonly<Record<string, string>> = {}): string {
  return operation.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(wrong[name] ?? (name === 'tenantId' ? slug : NOBODY)),
  );
}

function* badIds(operation: Operation, valid: unknown): Iterable<BadRequest> {
  for (const { name, in: place } of operation.parameters) {
    if (place !== 'path') continue;
    const ids =
      name === 'tenantId'
        ? ['no_such!', unique('nobody'), NOBODY, "'; DROP TABLE tenants; --"]
        : ['x', '123', NOBODY.replace(/0$/, 'g'), "'; DROP TABLE employees; --"];
    for (const id of ids) {
      const request = {
        what: `${name} = ${id}`,
        path: withQuery(operation, somePath(operation, { [name]: id })),
        status: 404,
      };
      yield valid === undefined ? request : { ...request, body: valid };
    }
  }
}

/** The required query parameters, so that only what is tested is wrong. */
function withQuery(operation: Operation, path: string, more: Readonly<Record<string, string>> = {}): string {
  const query = new URLSearchParams();
  for (const { name, in: place, required } of operation.parameters) {
    if (place === 'query' && required) query.set(name, NOBODY);
  }
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  return query.size > 0 ? `${path}?${query}` : path;
}

function* badQueries(operation: Operation, valid: unknown): Iterable<BadRequest> {
  const path = somePath(operation);
  const body = valid === undefined ? {} : { body: valid };
  yield {
    what: 'an unknown parameter',
    path: withQuery(operation, path, { colour: 'red' }),
    ...body,
    status: 400,
    place: { parameter: 'colour' },
  };
  for (const { name, in: place, schema, required } of operation.parameters) {
    if (place !== 'query') continue;
    for (const [what, text] of wrongTexts(name, schema)) {
      yield {
        what: `${name} with ${what}`,
        path: withQuery(operation, path, { [name]: text }),
        ...body,
        status: 400,
        place: { parameter: name },
      };
    }
    if (required) {
      yield { what: `without ${name}`, path, ...body, status: 400, place: { parameter: name } };
    }
  }
}

function* badBodies(operation: Operation, valid: Readonly<Record<string, unknown>>): Iterable<BadRequest> {
  const schema = operation.body;
  if (!schema) return;
  const path = withQuery(operation, somePath(operation));
  for (const raw of ['{"a":', '[]', '"text"', '7', 'null'])
    yield { what: `the body ${raw}`, path, raw, status: 400 };
  if (operation.bodyIsRequired) yield { what: 'an empty body', path, raw: '', status: 400, headers: {} };
  yield {
    what: 'a __proto__ key',
    path,
    raw: JSON.stringify({ ...valid, x: 1 }).replace('"x"', '"__proto__"'),
    status: 400,
  };
  yield {
    what: 'another media type',
    path,
    raw: JSON.stringify(valid),
    headers: { 'content-type': 'text/plain' },
    status: 415,
  };
  for (const { what, body, pointer } of wrongBodies(schema, valid, driver.ids)) {
    yield { what: `${pointer} with ${what}`, path, body, status: 400, place: { pointer } };
  }
}

describe('bad input is refused by a problem document and changes nothing', () => {
  test('of every operation', { timeout: 240_000 }, async () => {
    const before = await everything();
    const wrong: string[] = [];
    const operations = document.operations.filter(({ kind }) => kind !== 'public');
    for (const [index, operation] of operations.entries()) {
      const valid = (await driver.bodyFor(operation)) as Record<string, unknown>;
      const requests = [
        ...badIds(operation, valid),
        ...badQueries(operation, valid),
        ...badBodies(operation, valid),
      ];
      // `npm test` sends every fourth, beginning elsewhere for each operation.
      const sent = sampled(
        requests.filter((_, place) => place % 4 === index % 4),
        requests,
      );
      await inParallel(sent, async (request) => {
        const found = await refusal(operation, request);
        if (found) wrong.push(`${operation.id}, ${request.what}: ${found}`);
      });
    }
    expect(wrong).toEqual([]);
    expect(await everything()).toEqual(before);
  });
});

/** What is wrong with the refusal. */
async function refusal(operation: Operation, request: BadRequest): Promise<string | undefined> {
  const { path, body, raw, headers, status, place } = request;
  const token = operation.kind === 'operator' ? await operatorToken() : await userToken(slug);
  const answer = await call(operation.method, path, {
    token,
    ...(body === undefined ? {} : { body }),
    ...(raw === undefined ? {} : { raw }),
    ...(headers === undefined ? {} : { headers }),
  });
  const told = `${answer.status} ${JSON.stringify(answer.body)}`;
  if (answer.status !== status) return told;
  if (answer.headers.get('content-type') !== 'application/problem+json')
    return `no problem document: ${told}`;
  const differences = document.differences(operation, answer);
  if (differences.length > 0) return `${differences.join('; ')}: ${told}`;
  if (!place) return undefined;
  const [name, value = ''] = Object.entries(place)[0] ?? [];
  const points = answer.body.errors?.some((error: Record<string, string>) =>
    name === 'pointer' ? pointsTo(error.pointer ?? '', value) : error.parameter === value,
  );
  return points ? undefined : `it does not point to ${value}: ${told}`;
}

/** An error may name the list or the object that has the wrong value. */
const pointsTo = (pointer: string, place: string): boolean =>
  pointer !== '' && (place.startsWith(pointer) || pointer.startsWith(place));

async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
}

/**
 * Hashes of the tenant's rows and of its rows in the registry; not of its audit log, which also records what was refused, nor
 * of what schedules change, which tests of other files run at the same time: the time of the summary's refresh, daily backups,
 * and the time of the last drill.
 */
async function everything(): Promise<Record<string, unknown>> {
  const { client, schema } = await databaseOf(tenantId);
  const state: Record<string, unknown> = {};
  try {
    const { rows } = await client.query<{ table: string }>(
      `SELECT quote_ident(tablename) AS table FROM pg_tables
        WHERE schemaname = $1 AND tablename NOT LIKE 'audit%' AND tablename <> 'skills_summary_refresh' ORDER BY 1`,
      [schema],
    );
    for (const { table } of rows) {
      const content = await client.query(
        `SELECT count(*)::int AS rows, md5(string_agg(r::text, ',' ORDER BY r::text)) AS hash FROM ${schema}.${table} r`,
      );
      state[table] = content.rows[0];
    }
  } finally {
    await client.end();
  }
  for (const table of [
    'tenants',
    'tenant_users',
    'tenant_moves',
    'tenant_backups',
    'tenant_exports',
    'tenant_offers',
  ]) {
    const found = await inRegistry(
      `WITH found AS (SELECT (to_jsonb(r) - 'last_drill')::text AS line FROM ${table} r
        WHERE tenant_id = $1 AND to_jsonb(r) ->> 'started_by' IS DISTINCT FROM 'schedule')
       SELECT count(*)::int AS rows, md5(string_agg(line, ',' ORDER BY line)) AS hash FROM found`,
      [tenantId],
    );
    state[`registry.${table}`] = found[0];
  }
  return state;
}
