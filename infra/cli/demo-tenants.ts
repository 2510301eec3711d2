import { setTimeout as delay } from 'node:timers/promises';
import { DescribeExecutionCommand, type SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { ApiClient, ApiError } from './api-client.ts';
import { DEMO_SKILLS, DEMO_TENANTS, type DemoTenant, demoEmployee } from './demo-data.ts';

/** How many people come first and lead a department. */
const DEPARTMENTS = 6;
/** Requests of one tenant at a time: enough to use two processors, few enough to start no further environments. */
const AT_ONCE = 2;

export interface DemoTarget {
  readonly apiUrl: string;
  readonly states: SFNClient;
  readonly onboardingArn: string;
  readonly operatorToken: () => Promise<string>;
  readonly userToken: (tenantId: string, email: string) => Promise<string>;
}

/**
 * Onboards the demo's tenants and fills them through the public API. Safe to repeat: what exists is left as it is.
 * @throws when an onboarding fails.
 */
export async function createDemoTenants(target: DemoTarget): Promise<void> {
  await Promise.all(DEMO_TENANTS.map((tenant) => createDemoTenant(target, tenant)));
}

async function createDemoTenant(target: DemoTarget, tenant: DemoTenant): Promise<void> {
  await onboard(target, tenant);
  const operator = new ApiClient(target.apiUrl, await target.operatorToken());
  const { tenantId } = await operator.get<{ tenantId: string }>(`/tenants/${tenant.slug}`);
  await inParallel(['member', 'viewer'], AT_ONCE, (role) =>
    unlessThere(operator.post(`/tenants/${tenantId}/users`, { email: `${role}@${tenant.slug}.test`, role })),
  );
  const admin = new ApiClient(target.apiUrl, await target.userToken(tenantId, `admin@${tenant.slug}.test`));
  await fill(admin, tenant);
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

async function fill(api: ApiClient, tenant: DemoTenant): Promise<void> {
  const key = (what: string, n: number) => `demo-${tenant.slug}-${what}-${n}`;
  if ((await api.get<{ items: unknown[] }>('/employees?limit=1')).items.length > 0 && (await isFilled(api)))
    return;
  const people = Array.from({ length: tenant.employees }, (_, n) => n);
  const hire = async (n: number, managerId: string | null) => {
    const body = { ...demoEmployee(tenant.slug, n), managerId };
    const { employeeId } = await api.post<{ employeeId: string }>('/employees', body, key('employee', n));
    return employeeId;
  };
  // The first person of each department leads it, and must be there before its members.
  const leaders = await inParallel(people.slice(0, DEPARTMENTS), AT_ONCE, (n) => hire(n, null));
  const members = await inParallel(people.slice(DEPARTMENTS), AT_ONCE, (n) =>
    hire(n, leaders[n % DEPARTMENTS]!),
  );
  const employeeIds = [...leaders, ...members];
  await inParallel(DEMO_SKILLS, AT_ONCE, async (skill, n) => {
    const { skillId } = await api.post<{ skillId: string }>('/skills', skill, key('skill', n));
    for (let person = n; person < employeeIds.length; person += 4) {
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
}

/** The teams come last: with them there, nothing is missing. */
async function isFilled(api: ApiClient): Promise<boolean> {
  return (await api.get<{ items: unknown[] }>('/teams')).items.length === 3;
}

async function unlessThere(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error;
  }
}

/** Works on the items in their order, at most `limit` at a time. @returns the results in the items' order. */
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
