import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { assessmentRoutes } from '../../functions/api/assessments/assessment-routes.ts';
import { certificationRoutes } from '../../functions/api/assessments/certification-routes.ts';
import { resultRoutes } from '../../functions/api/assessments/result-routes.ts';
import { employeeRoutes } from '../../functions/api/people/employee-routes.ts';
import { teamMemberRoutes, teamRoutes } from '../../functions/api/people/team-routes.ts';
import { frameworkRoutes } from '../../functions/api/skills/framework-routes.ts';
import { gapRoutes, roleRoutes } from '../../functions/api/skills/role-routes.ts';
import { employeeSkillRoutes, skillRoutes } from '../../functions/api/skills/skill-routes.ts';
import * as moves from '../../functions/api/tenants/move-routes.ts';
import * as promotion from '../../functions/api/tenants/promotion-routes.ts';
import * as tenants from '../../functions/api/tenants/tenant-routes.ts';
import * as usage from '../../functions/api/tenants/usage-routes.ts';
import * as users from '../../functions/api/tenants/user-routes.ts';
import { Problem } from '../../functions/http/problem.ts';
import { type InputSchemas, readRequest } from '../../functions/http/validated-input.ts';
import { readMoveInput, readMoveRequest } from '../../functions/moves/move-target.ts';
import { validateOnboardingInput } from '../../functions/onboarding/onboarding-input.ts';
import { readInput } from '../../functions/resources/read-input.ts';
import { apiEvent } from '../regions/api-event.ts';

interface Complaint {
  readonly place: string;
  readonly text: string;
}
type Reader = (input: Record<string, unknown>) => Complaint[];

const routes = {
  employees: employeeRoutes,
  teams: teamRoutes,
  teamMembers: teamMemberRoutes,
  skills: skillRoutes,
  employeeSkills: employeeSkillRoutes,
  frameworks: frameworkRoutes,
  roles: roleRoutes,
  gaps: gapRoutes,
  assessments: assessmentRoutes,
  results: resultRoutes,
  certifications: certificationRoutes,
  tenants,
  users,
  moves,
  promotion,
  usage,
} as unknown as Record<string, Record<string, { schemas?: InputSchemas<unknown, unknown, unknown> }>>;

/** The fields of a strict object, as the library keeps them. */
const fieldsOf = (schema: unknown): string[] =>
  Object.keys((schema as { _zod: { def: { shape?: object } } })._zod.def.shape ?? {});

function complaintsOf(work: () => unknown): Complaint[] {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) {
      return (error.errors ?? []).map(({ pointer, parameter, detail }) => ({
        place: pointer?.slice(1) ?? parameter ?? '',
        text: detail,
      }));
    }
    const { issues } = error as { issues?: { path: string; message: string }[] };
    if (!issues) throw error;
    return issues.map(({ path, message }) => ({ place: path, text: message }));
  }
  return [];
}

const READERS: [name: string, fields: string[], read: Reader][] = Object.entries(routes).flatMap(
  ([context, operations]) =>
    Object.entries(operations).flatMap(([operation, route]) => {
      const { query, body } = route.schemas ?? {};
      const readers: [string, string[], Reader][] = [];
      if (query) {
        readers.push([
          `${context}.${operation} ?`,
          fieldsOf(query),
          (input) => {
            const given = Object.entries(input).map(([name, value]) => [name, String(value)]);
            const event = apiEvent({ routeKey: 'GET /x', claims: {}, query: Object.fromEntries(given) });
            return complaintsOf(() => readRequest({ query }, event));
          },
        ]);
      }
      if (body && fieldsOf(body).length > 0) {
        readers.push([
          `${context}.${operation}`,
          fieldsOf(body),
          (input) =>
            complaintsOf(() =>
              readRequest({ body }, apiEvent({ routeKey: 'POST /x', claims: {}, body: input })),
            ),
        ]);
      }
      return readers;
    }),
);
READERS.push(
  [
    'onboarding',
    ['name', 'slug', 'adminEmail', 'tier', 'dataResidency', 'complianceRequirements', 'billingEmail'],
    (input) => complaintsOf(() => validateOnboardingInput(input)),
  ],
  [
    'move',
    ['targetTier', 'targetCell', 'targetResidency', 'force', 'dryRun'],
    (input) => complaintsOf(() => readMoveRequest(input)),
  ],
  [
    'execution of a move',
    ['tenantId', 'targetTier', 'targetCell', 'targetResidency', 'force', 'moveId', 'startedBy'],
    (input) => complaintsOf(() => readMoveInput(input)),
  ],
);

const WRONG = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  1e300,
  '',
  ' ',
  'x',
  'x'.repeat(20_000),
  '\0',
  '\ud800',
  '-',
  'A B',
  [],
  [null],
  [7],
  [''],
  Array(30).fill('soc2'),
  {},
  { a: 1 },
  '2026-02-30',
  'infinity',
  'a@b@c',
];
const PLAIN = /^(?:is|are|must|has|have|contains|does not|can|give) /;
const LIBRARY =
  /invalid|expected|received|too (?:big|small)|unrecogni[sz]ed|string to |pattern|regex|zod|>=|<=/i;

describe.each(READERS)('what %s tells of a wrong input', (_name, fields, read) => {
  test('is plain English, for every field and every kind of value', () => {
    expect(fields.length).toBeGreaterThan(0);
    const inputs = fields.flatMap((field) => WRONG.map((value) => ({ [field]: value })));
    for (const input of [...inputs, {}, { unknown: 1 }]) {
      for (const { text } of read(input)) {
        expect(text).toMatch(PLAIN);
        expect(text).not.toMatch(LIBRARY);
      }
    }
  });
});

test('a field that is not there is required, whatever type it should have', () => {
  const [, , read] = READERS.find(([name]) => name === 'employees.create') ?? [];
  expect(read?.({})).toEqual(
    ['email', 'firstName', 'lastName'].map((place) => ({ place, text: 'is required' })),
  );
  expect(complaintsOf(() => validateOnboardingInput({}))).toEqual(
    ['name', 'slug', 'adminEmail'].map((place) => ({ place, text: 'is required' })),
  );
  const [, , readUser] = READERS.find(([name]) => name === 'users.create') ?? [];
  expect(readUser?.({ email: 'a@b.test' })).toEqual([{ place: 'role', text: 'is required' }]);
  expect(read?.({ email: 'a@b.test', firstName: ' ', lastName: 'B' })).toEqual([
    { place: 'firstName', text: 'must not be blank' },
  ]);
});

test('every code of the library has a text of ours', () => {
  const schema = z.strictObject({
    type: z.number(),
    absent: z.date(),
    big: z.number().check(z.lte(2)),
    small: z.number().check(z.gt(2)),
    long: z.string().check(z.maxLength(2)),
    few: z.array(z.string()).check(z.minLength(2)),
    multiple: z.number().check(z.multipleOf(3)),
    one: z.literal('a'),
    some: z.enum(['a', 'b']),
    format: z.string().check(z.regex(/^a$/)),
    id: z.uuid(),
    union: z.union([z.string(), z.number()]),
    key: z.record(z.string().check(z.maxLength(1)), z.unknown()),
    element: z.map(z.string(), z.string()),
    custom: z.string().check(z.refine(() => false)),
    whole: z.int(),
  });
  const { issues = [] } = readInput(schema, {
    type: 'x',
    big: 3,
    small: 2,
    long: 'xxx',
    few: ['x'],
    multiple: 4,
    one: 'b',
    some: 'c',
    format: 'b',
    id: 'x',
    union: true,
    key: { ab: 1 },
    element: new Map([['a', 1]]),
    custom: 'x',
    whole: 2 ** 60,
    more: 1,
  });
  expect(Object.fromEntries(issues.map(({ path, message }) => [path[0], message]))).toEqual({
    type: 'must be a number',
    absent: 'is required',
    big: 'must be at most 2',
    small: 'must be more than 2',
    long: 'must be at most 2 characters',
    few: 'must be at least 2 entries',
    multiple: 'must be a multiple of 3',
    one: 'must be a',
    some: 'must be one of a, b',
    format: 'does not have the form that is expected',
    id: 'does not have the form that is expected',
    union: 'is not valid',
    key: 'is not valid',
    element: 'must be a string',
    custom: 'is not valid',
    whole: 'must be at most 9007199254740991',
    more: 'is not known',
  });
});
