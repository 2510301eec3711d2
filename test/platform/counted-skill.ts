import { call, newEmployee, unique } from './running-platform.ts';

/** A skill that one employee has, at the highest level: what the summary must say of it. */
export const COUNTED = [
  { employeeCount: 1, ratedCount: 1, verifiedCount: 0, averageProficiency: 4, levelCount: 4 },
];

/** Adds such a skill. @returns its id. */
export async function addCountedSkill(token: string): Promise<string> {
  const { body: employee } = await call('POST', '/employees', { token, body: newEmployee() });
  const { body: skill } = await call('POST', '/skills', { token, body: { skillName: unique('skill') } });
  const body = { skillId: skill.skillId, proficiencyLevel: 'expert' };
  const { status } = await call('POST', `/employees/${employee.employeeId}/skills`, { token, body });
  if (status !== 201) throw new Error(`the employee’s skill was answered ${status}`);
  return skill.skillId;
}

/** What the summary says of a skill: nothing, or one item; and when it was refreshed. */
export async function summaryOf(token: string, skillId: string) {
  const { status, body } = await call('GET', `/analytics/skills-summary?skillId=${skillId}`, { token });
  if (status !== 200) throw new Error(`the summary was answered ${status}`);
  return body as { items: object[]; refreshedAt: string | null };
}
