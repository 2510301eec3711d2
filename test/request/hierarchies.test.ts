import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Model } from '../isolation/tenant-world.ts';
import { type Answer, MODELS, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

/** A kind of resource that refers to its own kind. */
interface Hierarchy {
  readonly name: string;
  add(model: Model, above?: string): Promise<string>;
  move(model: Model, id: string, above: string | null): Promise<Answer>;
  above(model: Model, id: string): Promise<string | null>;
}

const HIERARCHIES: readonly Hierarchy[] = [
  {
    name: 'employees',
    add: (model, managerId) => api.addEmployee(model, managerId ? { managerId } : {}),
    move: (model, employeeId, managerId) =>
      api.call(model, 'PATCH /employees/{employeeId}', {
        pathParameters: { employeeId },
        body: { managerId },
      }),
    above: async (model, employeeId) =>
      (await api.call(model, 'GET /employees/{employeeId}', { pathParameters: { employeeId } })).body
        .managerId,
  },
  {
    name: 'teams',
    add: async (model, parentTeamId) => {
      const body = { teamName: 'Team', ...(parentTeamId ? { parentTeamId } : {}) };
      return (await api.call(model, 'POST /teams', { body })).body.teamId;
    },
    move: (model, teamId, parentTeamId) =>
      api.call(model, 'PATCH /teams/{teamId}', { pathParameters: { teamId }, body: { parentTeamId } }),
    above: async (model, teamId) =>
      (await api.call(model, 'GET /teams/{teamId}', { pathParameters: { teamId } })).body.parentTeamId,
  },
];

describe.each(MODELS)('in %s', (model) => {
  describe.each(HIERARCHIES)('$name', ({ add, move, above }) => {
    /** Follows the way up from an id; throws where it comes back to where it was. */
    async function wayUp(id: string): Promise<string[]> {
      const seen = [id];
      for (let next = await above(model, id); next !== null; next = await above(model, next)) {
        if (seen.includes(next)) throw new Error('a circle');
        seen.push(next);
      }
      return seen;
    }

    test('that are put below one another at the same moment form no circle', async () => {
      for (let round = 0; round < 10; round++) {
        const [a, d] = [await add(model), await add(model)];
        const b = await add(model, d);
        const c = await add(model, a);
        // a above c, d above b: each of the two is fine alone.
        const answers = await Promise.all([move(model, a, b), move(model, d, c)]);
        expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
        await Promise.all([wayUp(b), wayUp(c)]);
      }
    });

    test('moved by many at once all get an answer, and stay a tree', async () => {
      const ids: string[] = [];
      for (let n = 0; n < 6; n++) ids.push(await add(model, ids.at(-1)));
      const moves = ids.flatMap((id, from) =>
        ids.map((other, to) => move(model, id, from === to ? null : other)),
      );
      const answers = await Promise.all(moves);
      expect(answers.filter(({ status }) => status !== 200 && status !== 400)).toEqual([]);
      for (const id of ids) await wayUp(id);
    });
  });

  test('a hierarchy’s lock is no client’s idempotency key', async () => {
    const [boss, other] = [await api.addEmployee(model), await api.addEmployee(model)];
    await HIERARCHIES[0]?.move(model, other, boss);
    const body = { email: 'keyed@tenant.test', firstName: 'A', lastName: 'B' };
    const headers = { 'idempotency-key': ' hierarchy of employees' };
    expect((await api.call(model, 'POST /employees', { body, headers })).status).toBe(201);
  });
});
