/**
 * What the tests of the document cannot derive from it: bodies with rules between fields, statuses that depend on what
 * happened before, and work to wait for. Keyed by operation; an operation without an entry is driven by its schemas alone.
 */
import { vi } from 'vitest';
import { strata } from '../infra/cli/run-command.ts';
import type { ApiDriver } from './openapi-driver.ts';
import { ASK_EVERY_MS, platform, unique } from './running-platform.ts';

export interface Sample {
  /** Instead of the body that the schema gives. */
  readonly body?: (driver: ApiDriver) => unknown | Promise<unknown>;
  /** Statuses of the first request, of which one must come; the documented successes when absent. */
  readonly expect?: readonly number[];
  /** What must have happened before. */
  readonly before?: (driver: ApiDriver) => Promise<void>;
  /** Waits for the end of what the request started. */
  readonly after?: (driver: ApiDriver, location: string) => Promise<void>;
  /** True: a second request with the same Idempotency-Key is not sent. */
  readonly once?: boolean;
}

/** Waits until the resource has another status than `running` or `provisioning`. */
async function untilEnded(driver: ApiDriver, location: string): Promise<void> {
  const at = location.replace(/\?.*/, '');
  await vi.waitUntil(
    async () => {
      const { status, body } = await driver.get(at, 'operator');
      return status === 200 && !['running', 'provisioning'].includes(body.status);
    },
    { timeout: 90_000, interval: ASK_EVERY_MS },
  );
}

/** Waits for a succeeded backup: the one that was requested, or that of another test's daily run, which took its place. */
async function backedUp(driver: ApiDriver): Promise<void> {
  if (driver.ids.has('backupId')) return;
  await vi.waitUntil(
    async () => {
      const { body } = await driver.get(`/tenants/${driver.tenant}/backups`, 'operator');
      const backup = body.items.find(({ status }: { status: string }) => status === 'succeeded');
      if (backup) driver.ids.set('backupId', backup.backupId);
      return backup !== undefined;
    },
    { timeout: 90_000, interval: ASK_EVERY_MS },
  );
}

/** An offer is made when requirements are stored that the tenant's place does not satisfy. */
async function offered(driver: ApiDriver, requirement: string): Promise<void> {
  const path = `/tenants/${driver.tenant}`;
  const body = { complianceRequirements: [requirement], force: true };
  await driver.send('PATCH', path, { as: 'operator', body });
  const { body: offers } = await driver.get(`${path}/offers`, 'operator');
  const open = offers.items.find(({ status }: { status: string }) => status === 'open');
  driver.ids.set('offerId', open.offerId);
}

/** An alert of the driver's tenant: a burst of refused requests, which the next run of alerts finds. */
async function alerted(driver: ApiDriver): Promise<void> {
  if (driver.ids.has('alertId')) return;
  const unknown = '/employees/00000000-0000-4000-8000-000000000000';
  for (let n = 0; n < 30; n++) await driver.get(unknown);
  const { body: tenant } = await driver.get(`/tenants/${driver.tenant}`, 'operator');
  await strata(['tick', 'alerts'], { AWS_ENDPOINT_URL: platform().awsUrl });
  const { body } = await driver.get(`/alerts?kind=access-refused&tenantId=${tenant.tenantId}`, 'operator');
  driver.ids.set('alertId', body.items[0].alertId);
}

/** Operators' and tenants' routes delete users of the same tenant: each has one of its own. */
async function invited(driver: ApiDriver): Promise<void> {
  const body = { email: `${unique('u')}@example.test`, role: 'viewer' };
  const { body: user } = await driver.send('POST', '/users', { body });
  driver.ids.set('userId', user.userId);
}

const QUESTIONS = [
  {
    id: 'q1',
    kind: 'choice',
    prompt: 'Which one?',
    options: [
      { value: 'this', score: 1 },
      { value: 2, score: 0 },
    ],
    weight: 2,
  },
  { id: 'q2', kind: 'scale', prompt: 'How sure are you?' },
  { id: 'q3', kind: 'text', prompt: 'Why?' },
];

/** What the driver has made; a body that is only to be refused may name nothing. */
const idOf = (driver: ApiDriver, name: string): string =>
  driver.ids.get(name) ?? '00000000-0000-4000-8000-000000000000';

/** The driver's skill at its lowest level. */
async function requiredSkills(driver: ApiDriver): Promise<object[]> {
  const skillId = driver.ids.get('skillId');
  if (skillId === undefined) return [];
  const { body } = await driver.get(`/skills/${skillId}`);
  return [{ skillId, minProficiency: body.proficiencyLevels[0] }];
}

export const samples: Readonly<Record<string, Sample>> = {
  // Not the levels: a role of the samples requires one.
  'skills.update': { body: () => ({ skillCategory: 'Data', description: null }) },
  'employeeSkills.create': {
    body: (driver) => ({
      skillId: idOf(driver, 'skillId'),
      yearsOfExperience: 1.5,
      lastAssessedAt: '2026-01-31T09:00:00+01:00',
      selfAssessed: true,
    }),
  },
  'employeeSkills.update': { body: () => ({ verified: true, yearsOfExperience: null }) },
  'frameworks.importWhole': {
    body: () => ({
      frameworkName: unique('Imported'),
      version: '1',
      frameworkData: { source: 'test' },
      skills: [{ skillName: 'Imported', proficiencyLevels: ['low', 'high'] }, { skillName: 'Plain' }],
    }),
  },
  'roles.create': {
    body: async (driver) => ({ roleName: unique('Role'), requiredSkills: await requiredSkills(driver) }),
  },
  'roles.update': {
    body: async (driver) => ({ department: 'Lab', requiredSkills: await requiredSkills(driver) }),
  },
  'assessments.create': {
    body: () => ({
      assessmentName: unique('Assessment'),
      assessmentType: 'skills',
      questions: QUESTIONS,
      scoringConfig: { method: 'sum', passScore: 50 },
    }),
  },
  'assessments.update': { body: () => ({ description: 'Ten minutes.' }) },
  'results.create': {
    before: async (driver) => {
      const path = `/assessments/${driver.ids.get('assessmentId')}`;
      await driver.send('PATCH', path, { body: { status: 'published' } });
    },
  },
  // Not completed, so that it can be deleted.
  'results.update': { body: () => ({ answers: { q1: 2, q3: 'Because.' }, status: 'in_progress' }) },
  'certifications.create': {
    body: (driver) => ({
      employeeId: idOf(driver, 'employeeId'),
      certificationName: unique('Certification'),
      issueDate: '2026-01-31',
      credentialUrl: 'https://certificates.test/1',
    }),
  },
  'certifications.update': {
    body: () => ({ expiryDate: '2027-01-31', verificationStatus: 'verified', credentialUrl: null }),
  },
  'tenants.create': {
    body: () => {
      const slug = unique('doc');
      return { name: `Tenant ${slug}`, slug, adminEmail: `admin@${slug}.test`, billingEmail: null };
    },
    after: untilEnded,
  },
  'tenants.update': { body: () => ({ name: unique('Renamed'), maxUsers: 50, features: { beta: true } }) },
  'users.create': { body: () => ({ email: `${unique('u')}@example.test`, role: 'member' }) },
  'users.remove': { before: invited },
  'ownUsers.create': { body: () => ({ email: `${unique('u')}@example.test`, role: 'member' }) },
  'ownUsers.update': { body: () => ({ role: 'viewer', isActive: true }) },
  'ownUsers.remove': { before: invited },
  'account.choose': { body: (driver) => ({ tenant: driver.tenant }) },
  'users.update': { body: () => ({ role: 'viewer', isActive: true }) },
  'moves.create': {
    body: async (driver) => {
      const { body } = await driver.get(`/tenants/${driver.tenant}`, 'operator');
      return { targetCell: body.cellId === 'us-1' ? 'us-2' : 'us-1' };
    },
    after: untilEnded,
  },
  'moves.abort': { expect: [202, 409] },
  'backups.create': {
    // The daily run of another test may be backing the tenant up.
    expect: [202, 409],
    after: untilEnded,
  },
  'restores.create': {
    before: backedUp,
    body: (driver) => ({ backupId: driver.ids.get('backupId') }),
    after: untilEnded,
  },
  'restores.abort': { expect: [202, 409] },
  'restores.undo': { after: untilEnded },
  'exports.create': {
    before: backedUp,
    body: (driver) => ({ backupId: driver.ids.get('backupId') }),
    after: untilEnded,
  },
  // The tenant is offboarded last, after everything else.
  'offboarding.read': { expect: [404] },
  'offboarding.certificate': { expect: [404] },
  'offboarding.cancel': { expect: [409] },
  'offboarding.start': {
    // Another test's daily run may be backing it up.
    expect: [202, 409],
    after: untilEnded,
  },
  'promotion.decline': { before: (driver) => offered(driver, 'hipaa') },
  'promotion.accept': {
    before: (driver) => offered(driver, 'gdpr'),
    after: untilEnded,
  },
  'alerts.read': { before: alerted },
  'alerts.acknowledge': { before: alerted },
  'cells.read': { before: async (driver) => void driver.ids.set('cellId', 'us-1') },
  'cells.rebalancingPlan': { before: async (driver) => void driver.ids.set('cellId', 'us-1') },
  'credentials.rotateTenant': { expect: [202, 409], after: untilEnded },
  'credentials.rotateCell': {
    before: async (driver) => {
      driver.ids.set('cellId', 'us-2');
    },
    body: () => ({}),
    // The rotation that was read may still run.
    expect: [202, 409],
  },
  'credentials.rotateRegistry': {
    before: async (driver) => {
      driver.ids.set('regionKey', 'us');
    },
    body: () => ({}),
    expect: [202, 409],
  },
  'credentials.read': {
    before: async (driver) => {
      // Without `now`, which would end sessions, and overlaps, that another test observes.
      await driver.send('POST', '/cells/us-2/credential-rotation', { as: 'operator', body: {} });
      // One that has ended: the first read and the conditional one must see the same.
      await vi.waitUntil(
        async () => {
          const { body } = await driver.get('/credential-rotations', 'operator');
          const ended = body.items.find(({ status }: { status: string }) => status !== 'running');
          if (ended) driver.ids.set('credentialRotationId', ended.credentialRotationId);
          return ended !== undefined;
        },
        { timeout: 90_000, interval: ASK_EVERY_MS },
      );
    },
  },
  'fleet.startRollout': {
    body: () => ({}),
    // Another test's rollout may be running.
    expect: [202, 409],
    after: untilEnded,
  },
  'docs.file': {
    before: async (driver) => {
      driver.ids.set('file', 'swagger-ui.css');
    },
  },
};
