import { beforeAll, describe, expect, test } from 'vitest';
import { call, newEmployee, unique, userToken } from './running-platform.ts';

const NOBODY = '00000000-0000-4000-8000-000000000000';

describe.each(['initech', 'globex', 'acme'])('teams and skills of %s', (slug) => {
  let token: string;
  let employeeId: string;
  beforeAll(async () => {
    token = await userToken(slug);
    employeeId = (await call('POST', '/employees', { token, body: newEmployee() })).body.employeeId;
  });

  test('a team has members, who are addressed by employee', async () => {
    const parent = (await call('POST', '/teams', { token, body: { teamName: unique('parent') } })).body;
    const created = await call('POST', '/teams', {
      token,
      body: { teamName: unique('child'), parentTeamId: parent.teamId },
    });
    expect(created.status).toBe(201);
    const members = `/teams/${created.body.teamId}/members`;
    const added = await call('POST', members, { token, body: { employeeId, role: 'lead' } });
    expect(added.headers.get('location')).toBe(`${members}/${employeeId}`);
    expect((await call('POST', members, { token, body: { employeeId } })).status).toBe(409);
    expect((await call('POST', members, { token, body: { employeeId: NOBODY } })).status).toBe(400);
    expect((await call('POST', `/teams/${NOBODY}/members`, { token, body: { employeeId } })).status).toBe(
      404,
    );
    expect((await call('GET', `/teams/${NOBODY}/members`, { token })).status).toBe(404);
    const changed = await call('PATCH', `${members}/${employeeId}`, { token, body: { role: null } });
    expect(changed.body).toMatchObject({ employeeId, role: null });
    expect((await call('DELETE', `/teams/${parent.teamId}`, { token })).status).toBe(409);
    expect((await call('DELETE', `${members}/${employeeId}`, { token })).status).toBe(204);
    expect((await call('GET', members, { token })).body.items).toEqual([]);
    expect((await call('DELETE', `/teams/${created.body.teamId}`, { token })).status).toBe(204);
    expect((await call('DELETE', `/teams/${parent.teamId}`, { token })).status).toBe(204);
  });

  test('an employee has skills, each with a level', async () => {
    const body = {
      skillName: unique('skill'),
      skillCategory: 'Data',
      proficiencyLevels: ['beginner', 'expert'],
    };
    const skill = await call('POST', '/skills', { token, body });
    expect(skill.body).toMatchObject(body);
    const skillId = skill.body.skillId;
    const path = `/employees/${employeeId}/skills`;
    const held = await call('POST', path, {
      token,
      body: {
        skillId,
        proficiencyLevel: 'expert',
        yearsOfExperience: 2.25,
        lastAssessedAt: '2026-01-02T03:04:05+01:00',
      },
    });
    expect(held.status).toBe(201);
    expect(held.body).toMatchObject({
      yearsOfExperience: 2.25,
      verified: false,
      lastAssessedAt: '2026-01-02T02:04:05Z',
    });
    expect(
      (await call('GET', `${path}?proficiencyLevel=expert&verified=false`, { token })).body.items,
    ).toHaveLength(1);
    expect((await call('DELETE', `/skills/${skillId}`, { token })).status).toBe(409);
    expect(
      (await call('PATCH', `${path}/${skillId}`, { token, body: { yearsOfExperience: 100 } })).status,
    ).toBe(400);
    expect((await call('DELETE', `${path}/${skillId}`, { token })).status).toBe(204);
    expect((await call('DELETE', `/skills/${skillId}`, { token })).status).toBe(204);
  });
});
