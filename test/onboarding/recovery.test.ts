import { randomUUID } from 'node:crypto';
import {
  DescribeExecutionCommand,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { executionStatus } from '../../functions/aws/executions.ts';
import { validateOnboardingInput } from '../../functions/onboarding/onboarding-input.ts';
import { recoverOnboardings } from '../../functions/onboarding/recover-onboardings.ts';
import { registerTenant } from '../../functions/onboarding/register-tenant.ts';
import { getTenant } from '../../functions/registry/tenant-record.ts';
import { AlertRuns, overdueAtOnce } from '../alerts/alert-runs.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const MACHINE = 'arn:aws:states:us-east-1:000000000000:stateMachine:tenant-onboarding';
const actor = { id: 'operator@strata.test', type: 'operator' } as const;
let plane: ControlPlane;
let states: SFNClient;
let recoveryTask: (event: object, context: Context) => Promise<unknown>;

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.addCell();
  await plane.deploy('workflow', {
    Resources: {
      Role: { Type: 'AWS::IAM::Role', Properties: { RoleName: 'workflow', Policies: [] } },
      Onboarding: {
        Type: 'AWS::StepFunctions::StateMachine',
        Properties: {
          StateMachineName: 'tenant-onboarding',
          RoleArn: { 'Fn::GetAtt': ['Role', 'Arn'] },
          // Works on the tenant until it is stopped, or fails at once, or after a second.
          DefinitionString: JSON.stringify({
            StartAt: 'Kind?',
            TimeoutSeconds: 1,
            States: {
              'Kind?': {
                Type: 'Choice',
                Choices: [{ Variable: '$.fail', IsPresent: true, Next: 'Fail' }],
                Default: 'Work',
              },
              Fail: { Type: 'Fail', Error: 'Failed without record' },
              Work: { Type: 'Wait', Seconds: 1_000_000, End: true },
            },
          }),
        },
      },
    },
  });
  states = new SFNClient({ region: 'us-east-1' });
  Object.assign(process.env, {
    REGISTRY_CLUSTER_ARN: plane.clusterArn,
    REGISTRY_SECRET_ARN: plane.secretArn,
    REGISTRY_DATABASE: 'registry',
  });
  const { handler } = await import('../../functions/tasks/onboarding-registry.ts');
  recoveryTask = handler as unknown as typeof recoveryTask;
});
afterAll(() => plane?.stop());

const arnOf = (name: string) => `${MACHINE.replace(':stateMachine:', ':execution:')}:${name}`;

/** A tenant that names this execution, as after its registration. */
async function provisioning(tier: string, { age = 0 } = {}) {
  const slug = `r-${randomUUID().slice(0, 8)}`;
  const input = validateOnboardingInput({
    name: `Tenant ${slug}`,
    slug,
    adminEmail: `admin@${slug}.test`,
    tier,
    billingEmail: 'bill@x.test',
    complianceRequirements: tier === 'enterprise' ? ['hipaa'] : [],
  });
  const planned = { executionArn: arnOf(slug), replaces: undefined };
  const { tenantId } = await registerTenant(plane.registry, input, { actor, planned });
  await plane.master.query(
    `UPDATE tenants SET updated_at = now() - :age::int * interval '1 second' WHERE tenant_id = :tenantId::uuid`,
    { age, tenantId },
  );
  return { slug, tenantId, input, executionArn: planned.executionArn };
}

const begin = (slug: string, input: object = {}) =>
  states.send(
    new StartExecutionCommand({ stateMachineArn: MACHINE, name: slug, input: JSON.stringify(input) }),
  );
const fate = async (executionArn: string) =>
  (await states.send(new DescribeExecutionCommand({ executionArn }))).status;
const recoverAll = () => recoveryTask({}, {} as Context);
const tenantOf = (slug: string) => getTenant(plane.registry, slug);
const ENDED = 'The workflow of the onboarding ended before the tenant was ready. Send the same input again.';

describe.each(['starter', 'business', 'enterprise'])('a %s tenant', (tier) => {
  test.each([
    ['was stopped', 'ABORTED', {}],
    ['timed out', 'TIMED_OUT', {}],
    ['failed without telling the registry', 'FAILED', { fail: true }],
  ] as const)(
    'whose execution %s is marked failed, and the same input resumes it',
    async (_, status, work) => {
      const { slug, executionArn, input } = await provisioning(tier);
      await begin(slug, work);
      if (status === 'ABORTED') await states.send(new StopExecutionCommand({ executionArn }));
      await expect.poll(() => fate(executionArn), { timeout: 5_000 }).toBe(status);
      // As EventBridge sends it.
      await recoveryTask({ detail: { executionArn, status } }, {} as Context);
      expect(await tenantOf(slug)).toMatchObject({ status: 'failed', reason: ENDED });
      const planned = { executionArn: arnOf(`${slug}-2`), replaces: undefined };
      expect(await registerTenant(plane.registry, input, { actor, planned })).toMatchObject({
        status: 'provisioning',
        reason: null,
        executionArn: planned.executionArn,
      });
    },
  );

  test('whose execution was never started is started, with the input that it was registered with', async () => {
    const { slug, executionArn, input } = await provisioning(tier, { age: 61 });
    await recoverAll();
    const execution = await states.send(new DescribeExecutionCommand({ executionArn }));
    expect(validateOnboardingInput(JSON.parse(execution.input ?? ''))).toEqual({
      ...input,
      dataResidency: 'us',
    });
    expect((await tenantOf(slug)).status).toBe('provisioning');
  });
});

test('alert work-overdue, alert work-failed: an onboarding that takes long, times out, and is resumed by the same input', async () => {
  const alerts = new AlertRuns(plane.registry);
  const { slug, tenantId, input, executionArn } = await provisioning('business');
  await begin(slug);
  await alerts.run();
  expect(await alerts.alerts(tenantId)).toEqual([]);
  const timeOut = async () => {
    await expect.poll(() => fate(executionArn), { timeout: 5_000 }).toBe('TIMED_OUT');
    await recoveryTask({ detail: { executionArn, status: 'TIMED_OUT' } }, {} as Context);
  };
  const late = await alerts.opensOnceAndEnds({
    about: tenantId,
    kind: 'work-overdue',
    run: overdueAtOnce('onboarding'),
    end: timeOut,
  });
  expect(late.details).toEqual({ work: 'onboarding', id: tenantId });
  const planned = { executionArn: arnOf(`${slug}-2`), replaces: undefined };
  const failed = await alerts.opensOnceAndEnds({
    about: tenantId,
    kind: 'work-failed',
    end: () => registerTenant(plane.registry, input, { actor, planned }),
  });
  expect(failed.details).toEqual({ work: 'onboarding', id: tenantId, reason: ENDED });
});

test('a tenant is left alone while its execution runs, or may still be started', async () => {
  const running = await provisioning('starter', { age: 100 });
  await begin(running.slug);
  const young = await provisioning('starter');
  await recoverAll();
  for (const { slug } of [running, young]) expect((await tenantOf(slug)).status).toBe('provisioning');
  await expect(fate(young.executionArn)).rejects.toMatchObject({ name: 'ExecutionDoesNotExist' });
  await states.send(new StopExecutionCommand({ executionArn: running.executionArn }));
});

test('an execution that has taken the tenant over keeps it when the former one is found dead', async () => {
  const { slug, tenantId, input, executionArn } = await provisioning('business');
  await begin(slug, { fail: true });
  await recoverOnboardings(plane.registry, {
    executionArn,
    statusOf: async (arn) => {
      const status = await executionStatus(arn);
      await registerTenant(plane.registry, input, { actor, executionArn: arnOf(`${slug}-next`) });
      return status === 'running' ? 'ended' : status;
    },
    start: () => Promise.reject(new Error('nothing is to be started')),
    deadline: Number.POSITIVE_INFINITY,
    onLate: () => {},
  });
  expect(await getTenant(plane.registry, tenantId)).toMatchObject({ status: 'provisioning' });
});

test('a tenant that is provisioning for longer than an hour is told of, a resumed one only after its own hour', async () => {
  const { slug, tenantId } = await provisioning('enterprise');
  await begin(slug);
  const late = async () => {
    const found: string[] = [];
    await recoverOnboardings(plane.registry, {
      statusOf: async () => 'running',
      start: () => Promise.reject(new Error('nothing is to be started')),
      deadline: Number.POSITIVE_INFINITY,
      onLate: (each) => found.push(each.tenantId),
    });
    return found;
  };
  expect(await late()).toEqual([]);
  await plane.master.query(
    "UPDATE control_audit_log SET created_at = now() - interval '61 minutes' WHERE tenant_id = :tenantId::uuid",
    { tenantId },
  );
  expect(await late()).toEqual([tenantId]);
  await plane.master.query(
    `INSERT INTO control_audit_log (actor, actor_type, action, tenant_id, resource_type)
     VALUES ('x', 'operator', 'tenant.resume', :tenantId::uuid, 'tenant')`,
    { tenantId },
  );
  expect(await late()).toEqual([]);
});
