import { setTimeout as delay } from 'node:timers/promises';
import { DescribeExecutionCommand, type SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { ApiClient, ApiError } from './api-client.ts';
import {
  DEMO_CERTIFICATIONS,
  DEMO_FRAMEWORK,
  DEMO_ROLES,
  DEMO_SKILLS,
  DEMO_TENANTS,
  type DemoTenant,
  demoAnswers,
  demoAssessment,
  demoEmployee,
} from './demo-data.ts';

/** How many people are the first, and lead a department. */
const DEPARTMENTS = 6;
/** Concurrent requests of one tenant: enough to use two processors, and few enough to start no further environments. */
const AT_ONCE = 2;

export interface DemoTarget {
  readonly apiUrl: string;
  readonly states: SFNClient;
  readonly onboardingArn: string;
  readonly operatorToken: () => Promise<string>;
  readonly userToken: (tenantId: string, email: string) => Promise<string>;
}

/**
 * Onboards the demo's tenants and fills them through the public API. Safe to repeat: existing rows stay as they are.
 * @throws when an onboarding fails.
 */
export async function createDemoTenants(target: DemoTarget): Promise<void> {
  // One after the other: these are few requests, and each further environment of their function takes longer to start.
  let assessing: Promise<void> = Promise.resolve();
  const create = async (tenant: DemoTenant) => {
    const organisation = await createDemoTenant(target, tenant);
    if (organisation) assessing = assessing.then(() => assess(organisation));
    await assessing;
  };
  await Promise.all(DEMO_TENANTS.map(create));
}

/** A tenant with the ids of its people and skills; undefined when it is complete already. */
interface Organisation {
  readonly api: ApiClient;
  readonly tenant: DemoTenant;
  readonly employeeIds: readonly string[];
  readonly frameworkId: string;
  readonly skillIds: ReadonlyMap<string, string>;
}

async function createDemoTenant(target: DemoTarget, tenant: DemoTenant): Promise<Organisation | undefined> {
  await onboard(target, tenant);
  const operator = new ApiClient(target.apiUrl, await target.operatorToken());
  const { tenantId } = await operator.get<{ tenantId: string }>(`/tenants/${tenant.slug}`);
  await inParallel(['member', 'viewer'], AT_ONCE, (role) =>
    unlessThere(operator.post(`/tenants/${tenantId}/users`, { email: `${role}@${tenant.slug}.test`, role })),
  );
  const admin = new ApiClient(target.apiUrl, await target.userToken(tenantId, `admin@${tenant.slug}.test`));
  return fill(admin, tenant);
}

async function onboard({ states, onboardingArn }: DemoTarget, tenant: DemoTenant): Promise<void> {
  const { slug, name, tier, complianceRequirements = [] } = tenant;
  const input = { name, slug, adminEmail: `admin@${slug}.test`, tier, complianceRequirements };
  const { executionArn } = await states.send(
    new StartExecutionCommand({ stateMachineArn: onboardingArn, input: JSON.stringify(input) }),
  );
  for (;;) {
    const execution = await states.send(new DescribeExecutionCommand({ executionArn }));
    if (execution.status === 'SUCCEEDED' || execution.error === 'TenantExists') return;
    if (execution.status !== 'RUNNING') {
      throw new Error(
        `onboarding ${slug} ended ${execution.status}: ${execution.error ?? ''} ${execution.cause ?? ''}`,
      );
    }
    await delay(30);
  }
}

/** The key of a request, which may be repeated. */
const keyOf = (tenant: DemoTenant) => (what: string, n: number) => `demo-${tenant.slug}-${what}-${n}`;

async function fill(api: ApiClient, tenant: DemoTenant): Promise<Organisation | undefined> {
  const key = keyOf(tenant);
  if ((await api.get<{ items: unknown[] }>('/employees?limit=1')).items.length > 0 && (await isFilled(api)))
    return undefined;
  const people = Array.from({ length: tenant.employees }, (_, n) => n);
  const hire = async (n: number, managerId: string | null) => {
    const body = { ...demoEmployee(tenant.slug, n), managerId };
    const { employeeId } = await api.post<{ employeeId: string }>('/employees', body, key('employee', n));
    return employeeId;
  };
  // The first person of each department leads it, and must exist before its members.
  const leaders = await inParallel(people.slice(0, DEPARTMENTS), AT_ONCE, (n) => hire(n, null));
  const members = await inParallel(people.slice(DEPARTMENTS), AT_ONCE, (n) =>
    hire(n, leaders[n % DEPARTMENTS]!),
  );
  const employeeIds = [...leaders, ...members];
  const { frameworkId } = await api.post<{ frameworkId: string }>(
    '/frameworks/import',
    DEMO_FRAMEWORK,
    key('framework', 0),
  );
  const skills = await api.list<{ skillId: string; skillName: string }>('/skills');
  const skillIds = new Map(skills.map(({ skillName, skillId }) => [skillName, skillId]));
  await inParallel(DEMO_SKILLS, AT_ONCE, async ({ skillName }, n) => {
    const skillId = skillIds.get(skillName);
    for (let person = n; person < employeeIds.length; person += 5) {
      const proficiencyLevel = ['beginner', 'intermediate', 'advanced', 'expert'][(person + n) % 4];
      const body = { skillId, proficiencyLevel, yearsOfExperience: ((person * 3) % 40) / 4 };
      await unlessThere(
        api.post(`/employees/${employeeIds[person]}/skills`, body, key(`skill-${n}-of`, person)),
      );
    }
  });
  await inParallel(['Platform', 'Customers', 'Operations'], AT_ONCE, async (teamName, n) => {
    const { teamId } = await api.post<{ teamId: string }>(
      '/teams',
      { teamName, description: `The ${teamName.toLowerCase()} team.`, managerId: employeeIds[n] ?? null },
      key('team', n),
    );
    for (let person = n; person < employeeIds.length; person += 3) {
      const body = { employeeId: employeeIds[person], role: person === n ? 'lead' : 'member' };
      await unlessThere(api.post(`/teams/${teamId}/members`, body, key(`team-${n}-member`, person)));
    }
  });
  await inParallel(DEMO_ROLES, AT_ONCE, ({ requires, ...role }, n) => {
    const requiredSkills = requires.map(([skillName, minProficiency]) => ({
      skillId: skillIds.get(skillName),
      minProficiency,
    }));
    return api.post('/roles', { ...role, requiredSkills }, key('role', n));
  });
  return { api, tenant, employeeIds, frameworkId, skillIds };
}

/** How many employees answer the assessment; the last of them has not completed it. */
const ASSESSED = 4;

/** The assessment, what employees answered, and their certifications. */
async function assess({ api, tenant, employeeIds, frameworkId, skillIds }: Organisation): Promise<void> {
  const key = keyOf(tenant);
  const draft = { ...demoAssessment(skillIds), frameworkId, createdBy: employeeIds[0] };
  const { assessmentId } = await api.post<{ assessmentId: string }>(
    '/assessments',
    draft,
    key('assessment', 0),
  );
  await api.patch(`/assessments/${assessmentId}`, { status: 'published' });
  const results = `/assessments/${assessmentId}/results`;
  for (const [n, employeeId] of employeeIds.slice(0, ASSESSED).entries()) {
    const { resultId } = await api.post<{ resultId: string }>(results, { employeeId }, key('result', n));
    const status = n === ASSESSED - 1 ? {} : { status: 'completed' };
    await unlessThere(api.patch(`${results}/${resultId}`, { answers: demoAnswers(n), ...status }));
  }
  for (const [n, certification] of DEMO_CERTIFICATIONS.entries()) {
    await api.post(
      '/certifications',
      { ...certification, employeeId: employeeIds[n] },
      key('certification', n),
    );
  }
}

/** The certifications come last: when they exist, the tenant is complete. */
async function isFilled(api: ApiClient): Promise<boolean> {
  const { items } = await api.get<{ items: unknown[] }>('/certifications');
  return items.length >= DEMO_CERTIFICATIONS.length;
}

async function unlessThere(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error;
  }
}

/** Works on the items in their order, at most `limit` concurrently. @returns the results in the items' order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const workOff = async () => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await work(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: limit }, workOff));
  return results;
}
