/**
 * Random tenants, random operations, all three models at once, concurrently, through a transaction pooler with two
 * connections per role: what each tenant sees is what a model of that tenant alone predicts, whatever the others do.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ResourceConflict, ResourceNotFound } from '../../functions/resources/errors.ts';
import type { Item } from '../../functions/resources/field-names.ts';
import type { Actor } from '../../functions/tenant-data/audit-log.ts';
import { employees } from '../../functions/tenant-data/employees.ts';
import { createWorld, type World, type WorldTenant } from './tenant-world.ts';

const ACTOR: Actor = {
  kind: 'user',
  userId: undefined,
  name: 'test',
  role: 'admin',
  ipAddress: undefined,
  userAgent: undefined,
};
const EMAILS = ['a@x.test', 'b@x.test', 'c@x.test', 'd@x.test'];
const DEPARTMENTS = ['Lab', 'Sales'];

type Step =
  | { do: 'create'; email: string; department: string }
  | { do: 'read'; whose: number; nth: number }
  | { do: 'delete'; whose: number; nth: number }
  | { do: 'rename'; whose: number; nth: number; email: string }
  | { do: 'list'; department: string | undefined; search: string | undefined };

const email = fc.constantFrom(...EMAILS);
const department = fc.constantFrom(...DEPARTMENTS);
// Half of all ids that a tenant tries belong to somebody else.
const target = { whose: fc.oneof(fc.constant(-1), fc.nat(5)), nth: fc.nat(3) };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('create' as const), email, department }),
  fc.record({ do: fc.constant('read' as const), ...target }),
  fc.record({ do: fc.constant('delete' as const), ...target }),
  fc.record({ do: fc.constant('rename' as const), ...target, email }),
  fc.record({
    do: fc.constant('list' as const),
    department: fc.option(department, { nil: undefined }),
    search: fc.option(fc.constantFrom('x.test', 'a@', '%', '_'), { nil: undefined }),
  }),
);

describe.each([true, false])('with pipelining %s', (pipeline) => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld(2, { pipeline });
    if (!world.pooled) console.log('pgbouncer is not installed: isolation is tested without a pooler');
  });
  afterAll(() => world.end());

  test('no operation sees or changes another tenant’s row', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { maxLength: 8 }), { minLength: 6, maxLength: 6 }),
        async (plans) => {
          const known = await Promise.all(world.tenants.map(everything));
          await Promise.all(world.tenants.map((tenant, n) => run(tenant, known, n, plans[n] ?? [])));
          for (const [n, tenant] of world.tenants.entries()) {
            expect(await everything(tenant)).toEqual(known[n]);
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});

/** Runs one tenant's steps one after the other; `known[own]` is its model, the others' are where foreign ids come from. */
async function run(
  { access }: WorldTenant,
  known: Map<string, Item>[],
  own: number,
  steps: Step[],
): Promise<void> {
  const mine = known[own] as Map<string, Item>;
  for (const step of steps) {
    if (step.do === 'create') {
      const values = { email: step.email, first_name: 'A', last_name: 'B', department: step.department };
      const creating = employees.create(access, ACTOR, {
        values,
        parents: {},
        locate: (id) => id,
        idempotency: undefined,
      });
      if (has(mine, step.email)) await expect(creating).rejects.toThrow(ResourceConflict);
      else remember(mine, (await creating).answer.body as Item);
      continue;
    }
    if (step.do === 'list') {
      const filter = { equals: step.department ? { department: step.department } : {}, search: step.search };
      const { items } = await employees.list(access, filter, { limit: 200, cursor: undefined }, ACTOR);
      const expected = [...mine.values()].filter(
        (item) =>
          (!step.department || item.department === step.department) &&
          (!step.search || String(item.email).includes(step.search)),
      );
      expect(byId(items)).toEqual(byId(expected));
      continue;
    }
    const whose = step.whose < 0 ? own : step.whose;
    const id = [...(known[whose] as Map<string, Item>).keys()][step.nth];
    if (!id) continue;
    const exists = whose === own && mine.has(id);
    const key = { employee_id: id };
    if (step.do === 'read') {
      if (exists) expect((await employees.get(access, key, ACTOR)).item).toEqual(mine.get(id));
      else await expect(employees.get(access, key)).rejects.toThrow(ResourceNotFound);
    } else if (step.do === 'delete') {
      const deleting = employees.delete(access, ACTOR, key, undefined);
      if (!exists) await expect(deleting).rejects.toThrow(ResourceNotFound);
      else {
        await deleting;
        mine.delete(id);
      }
    } else {
      const renaming = employees.update(access, ACTOR, key, { email: step.email }, undefined);
      const taken = [...mine.values()].some((item) => item.email === step.email && item.employeeId !== id);
      if (!exists) await expect(renaming).rejects.toThrow(ResourceNotFound);
      else if (taken) await expect(renaming).rejects.toThrow(ResourceConflict);
      else remember(mine, (await renaming).item);
    }
  }
}

/** All of a tenant’s employees, by id. */
async function everything({ access }: WorldTenant): Promise<Map<string, Item>> {
  const { items } = await employees.list(access, { equals: {} }, { limit: 200, cursor: undefined }, ACTOR);
  return new Map(items.map((item) => [String(item.employeeId), item]));
}

function remember(items: Map<string, Item>, item: Item): void {
  items.set(String(item.employeeId), item);
}

function has(items: Map<string, Item>, address: string): boolean {
  return [...items.values()].some((item) => item.email === address);
}

function byId(items: readonly Item[]): Item[] {
  return [...items].sort((left, right) => String(left.employeeId).localeCompare(String(right.employeeId)));
}
