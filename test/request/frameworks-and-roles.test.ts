import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant } from '../enter-tenant.ts';
import { type Answer, MODELS, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

interface Skill {
  readonly skillId: string;
  readonly skillName: string;
  readonly description: string | null;
}
const statusAndPointers = ({ status, body }: Answer) => [
  status,
  body.errors?.map(({ pointer }: { pointer: string }) => pointer),
];
const skill = (skillName: string, more: object = {}) => ({ skillName, ...more });

interface ImportEntry {
  readonly request_data: unknown;
  readonly changes: { readonly before?: object; readonly after: object };
}

describe.each(MODELS)('in %s', (model) => {
  const importing = (body: object, headers: Record<string, string> = {}) =>
    api.call(model, 'POST /frameworks/import', { body, headers });
  const frameworkOf = (skills: object[], more: object = {}) => ({
    frameworkName: `SFIA ${randomUUID()}`,
    version: '9',
    frameworkType: 'SFIA',
    frameworkData: { levels: 7, source: 'sfia-online.org' },
    skills,
    ...more,
  });
  const skillsOf = async (frameworkId: string): Promise<Skill[]> =>
    (await api.call(model, 'GET /skills', { query: { frameworkId, sort: 'skillName' } })).body.items;
  const addSkill = async (more: object = {}): Promise<string> =>
    (await api.call(model, 'POST /skills', { body: { skillName: 'Algebra', ...more } })).body.skillId;
  const patchSkill = (skillId: string, body: object) =>
    api.call(model, 'PATCH /skills/{skillId}', { pathParameters: { skillId }, body });
  const give = (employeeId: string, body: object) =>
    api.call(model, 'POST /employees/{employeeId}/skills', { pathParameters: { employeeId }, body });
  const addRole = (requiredSkills: unknown, more: object = {}) =>
    api.call(model, 'POST /roles', { body: { roleName: 'Analyst', requiredSkills, ...more } });
  const auditEntries = async (action: string): Promise<ImportEntry[]> => {
    const tenant = api.tenant(model);
    const connection = await tenant.database.connect(tenant.login);
    return asTenant(
      connection,
      tenant,
      'read',
      async () =>
        (
          await connection.query(
            'SELECT request_data, changes FROM audit_log WHERE action = $1 ORDER BY created_at',
            [action],
          )
        ).rows,
    ).finally(() => connection.end());
  };

  describe('a framework', () => {
    test('is created, read, changed, listed and deleted', async () => {
      const body = { frameworkName: `O*NET ${model}`, frameworkType: 'O*NET', frameworkData: { a: 1, b: 2 } };
      const created = await api.call(model, 'POST /frameworks', { body });
      expect(created.status).toBe(201);
      expect(created.body).toMatchObject({ ...body, version: null, isActive: true });
      const pathParameters = { frameworkId: created.body.frameworkId };
      const patch = { frameworkData: { a: null, c: 3 }, isActive: false, version: '28' };
      const changed = await api.call(model, 'PATCH /frameworks/{frameworkId}', {
        pathParameters,
        body: patch,
      });
      expect(changed.body).toMatchObject({ frameworkData: { b: 2, c: 3 }, isActive: false, version: '28' });
      const listed = await api.call(model, 'GET /frameworks', {
        query: { frameworkType: 'O*NET', isActive: 'false', frameworkName: body.frameworkName, q: 'o*net' },
      });
      expect(listed.body.items).toEqual([changed.body]);
      const gone = await api.call(model, 'DELETE /frameworks/{frameworkId}', { pathParameters });
      expect(gone.status).toBe(204);
      expect((await api.call(model, 'GET /frameworks/{frameworkId}', { pathParameters })).status).toBe(404);
    });

    test('is one of its name and version, and one without a version', async () => {
      const add = (more: object) =>
        api.call(model, 'POST /frameworks', { body: { frameworkName: 'F', ...more } });
      const statuses = [];
      for (const more of [{}, { version: '1' }, { version: '2' }, {}, { version: '1' }]) {
        const answer = await add(more);
        statuses.push(answer.status);
        if (answer.status === 409)
          expect(answer.body.detail).toBe('Another framework has this name and version.');
      }
      expect(statuses).toEqual([201, 201, 201, 409, 409]);
    });

    test('that skills or assessments refer to stays', async () => {
      const { frameworkId } = (await importing(frameworkOf([skill('Programming')]))).body;
      const pathParameters = { frameworkId };
      const removing = await api.call(model, 'DELETE /frameworks/{frameworkId}', { pathParameters });
      expect(removing.status).toBe(409);
    });
  });

  describe('an import', () => {
    test('makes the framework and its skills; the same again is answered with it and changes nothing', async () => {
      const body = frameworkOf([
        skill('Programming', { proficiencyLevels: ['1', '2', '3'], skillCategory: 'Development' }),
        skill('Testing', { description: 'Finding faults.' }),
      ]);
      const first = await importing(body);
      expect(first.status).toBe(201);
      expect(first.headers.location).toBe(`/frameworks/${first.body.frameworkId}`);
      expect(first.body.skills).toEqual({ created: 2, updated: 0, unchanged: 0, removed: 0 });
      const skills = await skillsOf(first.body.frameworkId);
      expect(skills).toMatchObject(body.skills);
      const entries = await auditEntries('framework.import');
      expect(entries.at(-1)?.changes.after).toMatchObject({ skills: body.skills });
      const again = await importing(body);
      expect(again.status).toBe(200);
      expect(again.headers.location).toBeUndefined();
      expect(again.body).toEqual({
        ...first.body,
        skills: { created: 0, updated: 0, unchanged: 2, removed: 0 },
      });
      expect(await skillsOf(first.body.frameworkId)).toEqual(skills);
      expect(await auditEntries('framework.import')).toHaveLength(entries.length);
      // The framework alone has the same tag.
      const read = await api.call(model, 'GET /frameworks/{frameworkId}', {
        pathParameters: { frameworkId: first.body.frameworkId },
      });
      expect(read.headers.etag).toBe(again.headers.etag);
    });

    test('with other content changes what differs and nothing else', async () => {
      const body = frameworkOf([skill('Programming'), skill('Testing'), skill('Writing')]);
      const { frameworkId } = (await importing(body)).body;
      const [programming, , writing] = await skillsOf(frameworkId);
      const changed = {
        ...body,
        description: 'Corrected.',
        skills: [skill('Writing'), skill('Programming', { description: 'Code.' }), skill('Speaking')],
      };
      const answer = await importing(changed);
      expect([answer.status, answer.body.frameworkId]).toEqual([200, frameworkId]);
      expect(answer.body).toMatchObject({
        description: 'Corrected.',
        frameworkData: body.frameworkData,
        skills: { created: 1, updated: 1, unchanged: 1, removed: 1 },
      });
      const now = await skillsOf(frameworkId);
      expect(now.map(({ skillName }) => skillName)).toEqual(['Programming', 'Speaking', 'Writing']);
      expect(now[0]).toMatchObject({ skillId: programming?.skillId, description: 'Code.' });
      expect(now[2]).toEqual(writing);
      const entry = (await auditEntries('framework.import')).at(-1);
      expect(entry?.changes).toMatchObject({
        before: { description: null, skills: [{ skillName: 'Programming' }, { skillName: 'Testing' }] },
        after: { description: 'Corrected.', skills: [{ description: 'Code.' }, { skillName: 'Speaking' }] },
      });
      expect((await importing(changed)).body.skills.unchanged).toBe(3);
    });

    test('takes away neither a skill nor a level that is in use', async () => {
      const body = frameworkOf([
        skill('Programming', { proficiencyLevels: ['low', 'high'] }),
        skill('Testing'),
      ]);
      const { frameworkId } = (await importing(body)).body;
      const [programming] = await skillsOf(frameworkId);
      const employeeId = await api.addEmployee(model);
      await give(employeeId, { skillId: programming?.skillId, proficiencyLevel: 'high' });
      const before = await skillsOf(frameworkId);
      const without = await importing({ ...body, description: 'x', skills: [skill('Testing')] });
      expect(statusAndPointers(without)).toEqual([409, ['/skills']]);
      const levels = { ...body, skills: [skill('Programming', { proficiencyLevels: ['low'] })] };
      expect(statusAndPointers(await importing(levels))).toEqual([409, ['/proficiencyLevels']]);
      expect(await skillsOf(frameworkId)).toEqual(before);
    });

    test('of the same framework many times at once makes one', async () => {
      const body = frameworkOf([skill('Programming'), skill('Testing')]);
      const answers = await Promise.all(Array.from({ length: 5 }, () => importing(body)));
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 201]);
      expect(new Set(answers.map((answer) => answer.body.frameworkId)).size).toBe(1);
      expect(await skillsOf(answers[0]?.body.frameworkId)).toHaveLength(2);
    });

    test('with an Idempotency-Key is replayed', async () => {
      const headers = { 'idempotency-key': randomUUID() };
      const body = frameworkOf([skill('Programming')]);
      const first = await importing(body, headers);
      const again = await importing(body, headers);
      expect([again.status, again.headers['idempotency-replayed']]).toEqual([201, 'true']);
      expect([again.text, again.headers.location]).toEqual([first.text, first.headers.location]);
    });

    test('as large as a body may be is one request', async () => {
      const skills = Array.from({ length: 4_000 }, (_, n) =>
        skill(`Skill ${n}`, { description: `${n} `.repeat(30) }),
      );
      const body = frameworkOf(skills);
      expect(JSON.stringify(body).length).toBeGreaterThan(700_000);
      expect((await importing(body)).body.skills).toMatchObject({ created: 4_000 });
      expect((await importing(body)).body.skills).toMatchObject({ unchanged: 4_000 });
    });

    test('is refused with two skills of one name, or without a version', async () => {
      const twice = await importing(frameworkOf([skill('A'), skill('A')]));
      expect(statusAndPointers(twice)).toEqual([400, ['/skills']]);
      expect(statusAndPointers(await importing(frameworkOf([], { version: null })))).toEqual([
        400,
        ['/version'],
      ]);
      const unknown = await importing(frameworkOf([skill('A', { x: 1 })]));
      expect(statusAndPointers(unknown)).toEqual([400, ['/skills/0/x']]);
    });
  });

  describe('a role', () => {
    test('requires skills that exist, at one of their levels', async () => {
      const [own, plain] = [await addSkill({ proficiencyLevels: ['low', 'high'] }), await addSkill()];
      const required = [
        { skillId: own, minProficiency: 'high' },
        { skillId: plain, minProficiency: 'advanced' },
      ];
      const created = await addRole(required, { department: 'Lab', roleLevel: 'senior' });
      expect([created.status, created.body.requiredSkills]).toEqual([201, required]);
      const listed = await api.call(model, 'GET /roles', {
        query: { department: 'Lab', roleLevel: 'senior' },
      });
      expect(listed.body.items).toContainEqual(created.body);
      const refused = await addRole([
        { skillId: own, minProficiency: 'advanced' },
        { skillId: randomUUID(), minProficiency: 'advanced' },
      ]);
      expect([refused.status, refused.body.errors]).toEqual([
        400,
        [
          { pointer: '/requiredSkills/0/minProficiency', detail: 'must be one of low, high' },
          { pointer: '/requiredSkills/1/skillId', detail: 'refers to a skill that does not exist' },
        ],
      ]);
      expect(statusAndPointers(await addRole([required[0], required[0]]))).toEqual([
        400,
        ['/requiredSkills'],
      ]);
      const pathParameters = { roleId: created.body.roleId };
      const body = { requiredSkills: [{ skillId: plain, minProficiency: 'x' }] };
      const patched = await api.call(model, 'PATCH /roles/{roleId}', { pathParameters, body });
      expect(statusAndPointers(patched)).toEqual([400, ['/requiredSkills/0/minProficiency']]);
      const cleared = await api.call(model, 'PATCH /roles/{roleId}', {
        pathParameters,
        body: { requiredSkills: null },
      });
      expect(cleared.body.requiredSkills).toBeNull();
    });

    test('keeps its skills and their levels', async () => {
      const skillId = await addSkill({ proficiencyLevels: ['low', 'high'] });
      const { roleId } = (await addRole([{ skillId, minProficiency: 'high' }])).body;
      const remove = () => api.call(model, 'DELETE /skills/{skillId}', { pathParameters: { skillId } });
      expect((await remove()).status).toBe(409);
      expect(statusAndPointers(await patchSkill(skillId, { proficiencyLevels: ['low'] }))).toEqual([
        409,
        ['/proficiencyLevels'],
      ]);
      expect((await patchSkill(skillId, { proficiencyLevels: ['high', 'low', 'top'] })).status).toBe(200);
      await api.call(model, 'DELETE /roles/{roleId}', { pathParameters: { roleId } });
      expect((await remove()).status).toBe(204);
    });

    test('never requires a skill that is deleted at the same moment', async () => {
      for (let round = 0; round < 10; round++) {
        const skillId = await addSkill();
        const [role, removal] = await Promise.all([
          addRole([{ skillId, minProficiency: 'expert' }]),
          api.call(model, 'DELETE /skills/{skillId}', { pathParameters: { skillId } }),
        ]);
        expect([
          [201, 409],
          [400, 204],
        ]).toContainEqual([role.status, removal.status]);
      }
    });
  });

  describe('an employee', () => {
    test('has a skill at one of its levels', async () => {
      const employeeId = await api.addEmployee(model);
      const [own, plain] = [await addSkill({ proficiencyLevels: ['low', 'high'] }), await addSkill()];
      const refused = await give(employeeId, { skillId: own, proficiencyLevel: 'advanced' });
      expect([refused.status, refused.body.errors]).toEqual([
        400,
        [{ pointer: '/proficiencyLevel', detail: 'must be one of low, high' }],
      ]);
      expect((await give(employeeId, { skillId: own, proficiencyLevel: 'low' })).status).toBe(201);
      expect((await give(employeeId, { skillId: plain, proficiencyLevel: 'low' })).status).toBe(400);
      expect((await give(employeeId, { skillId: plain, proficiencyLevel: 'expert' })).status).toBe(201);
      expect(
        statusAndPointers(await give(employeeId, { skillId: randomUUID(), proficiencyLevel: 'low' })),
      ).toEqual([400, ['/skillId']]);
      const patch = (body: object) =>
        api.call(model, 'PATCH /employees/{employeeId}/skills/{skillId}', {
          pathParameters: { employeeId, skillId: own },
          body,
        });
      expect((await patch({ proficiencyLevel: 'expert' })).status).toBe(400);
      expect((await patch({ proficiencyLevel: 'high' })).body.proficiencyLevel).toBe('high');
      expect((await patch({ proficiencyLevel: null, verified: true })).status).toBe(200);
      await patch({ proficiencyLevel: 'high' });
      expect((await patchSkill(own, { proficiencyLevels: ['low'] })).status).toBe(409);
      expect((await patchSkill(own, { proficiencyLevels: null })).status).toBe(409);
      expect((await patchSkill(own, { proficiencyLevels: ['high'] })).status).toBe(200);
    });

    test('never has a level that the skill loses at the same moment', async () => {
      for (let round = 0; round < 10; round++) {
        const employeeId = await api.addEmployee(model);
        const skillId = await addSkill({ proficiencyLevels: ['low', 'high'] });
        const [given, changed] = await Promise.all([
          give(employeeId, { skillId, proficiencyLevel: 'high' }),
          patchSkill(skillId, { proficiencyLevels: ['low'] }),
        ]);
        expect([
          [201, 409],
          [400, 200],
        ]).toContainEqual([given.status, changed.status]);
      }
    });

    test('has gaps for a role: how many levels are missing of each required skill', async () => {
      const employeeId = await api.addEmployee(model);
      const [own, plain, other] = [
        await addSkill({ skillName: 'Own', proficiencyLevels: ['low', 'high'] }),
        await addSkill({ skillName: 'Plain' }),
        await addSkill({ skillName: 'Other' }),
      ];
      await give(employeeId, { skillId: own, proficiencyLevel: 'high' });
      await give(employeeId, { skillId: plain, proficiencyLevel: 'beginner' });
      const { roleId } = (
        await addRole([
          { skillId: own, minProficiency: 'low' },
          { skillId: plain, minProficiency: 'advanced' },
          { skillId: other, minProficiency: 'expert' },
        ])
      ).body;
      const gaps = (who: string, query: Record<string, string>) =>
        api.call(model, 'GET /employees/{employeeId}/gaps', { pathParameters: { employeeId: who }, query });
      const levels = ['beginner', 'intermediate', 'advanced', 'expert'];
      expect((await gaps(employeeId, { roleId })).body).toEqual({
        employeeId,
        roleId,
        roleName: 'Analyst',
        ready: false,
        skills: [
          {
            skillId: other,
            skillName: 'Other',
            proficiencyLevels: levels,
            minProficiency: 'expert',
            proficiencyLevel: null,
            gap: 4,
          },
          {
            skillId: plain,
            skillName: 'Plain',
            proficiencyLevels: levels,
            minProficiency: 'advanced',
            proficiencyLevel: 'beginner',
            gap: 2,
          },
          {
            skillId: own,
            skillName: 'Own',
            proficiencyLevels: ['low', 'high'],
            minProficiency: 'low',
            proficiencyLevel: 'high',
            gap: 0,
          },
        ],
      });
      const plainRole = (await addRole(null)).body.roleId;
      expect((await gaps(employeeId, { roleId: plainRole })).body).toMatchObject({ ready: true, skills: [] });
      expect((await gaps(randomUUID(), { roleId })).status).toBe(404);
      expect((await gaps(employeeId, { roleId: randomUUID() })).status).toBe(404);
      expect((await gaps(employeeId, {})).status).toBe(400);
      expect((await gaps(employeeId, { roleId: 'x' })).status).toBe(400);
    });
  });
});
