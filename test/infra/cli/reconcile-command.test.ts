import { afterAll, beforeAll, expect, test } from 'vitest';
import { att, role } from '../../local/aws/assembly.ts';
import { type EndpointFixture, startEndpoint } from '../../local/aws/endpoint-fixture.ts';
import { strata } from './run-command.ts';

const difference = (kind: string, mend: string | null, outcome: string) => ({
  tenantId: kind === 'database-unreachable' ? null : '7d3f0c1e-97a5-4e0c-8a0b-6a4c7c4f2d10',
  kind,
  says: `It is ${kind}\u001b[2J.`,
  mend,
  outcome,
});

const none = { compared: 3, total: 0, mended: 0, differences: [] };
const found = (outcome: string) => ({
  compared: 3,
  total: 2,
  mended: outcome === 'mended' ? 2 : 0,
  differences: [difference('placement-newer', 'The route follows.', outcome)],
});
const left = {
  compared: 3,
  total: 2,
  mended: 1,
  differences: [
    difference('placement-newer', 'The route follows.', 'mended'),
    difference('database-unreachable', null, 'left'),
  ],
};

const answer = (Result: object) => ({ Type: 'Pass', Result, End: true });
const when = (apply: boolean, registerLost: boolean, Next: string) => ({
  And: [
    { Variable: '$.apply', BooleanEquals: apply },
    { Variable: '$.registerLost', BooleanEquals: registerLost },
  ],
  Next,
});

/** What `registry-reconcile` answers to the four inputs, as one machine. */
function machine(answers: Readonly<Record<'look' | 'apply' | 'lookLost' | 'applyLost', object>>) {
  return {
    Type: 'AWS::StepFunctions::StateMachine',
    Properties: {
      StateMachineName: 'registry-reconcile',
      RoleArn: att('Role', 'Arn'),
      DefinitionString: JSON.stringify({
        StartAt: 'Which',
        States: {
          Which: {
            Type: 'Choice',
            Choices: [
              when(false, false, 'look'),
              when(true, false, 'apply'),
              when(false, true, 'lookLost'),
              when(true, true, 'applyLost'),
            ],
          },
          ...Object.fromEntries(Object.entries(answers).map(([name, each]) => [name, answer(each)])),
        },
      }),
    },
  };
}

let fixture: EndpointFixture;
beforeAll(async () => {
  const answers = { look: found('found'), apply: left, lookLost: found('found'), applyLost: found('mended') };
  fixture = await startEndpoint([
    { name: 'Reconcile', resources: { ...role('Role', []), Machine: machine(answers) } },
  ]);
});
afterAll(() => fixture.stop());

const reconcile = (...flags: string[]) =>
  strata(['reconcile', ...flags], { AWS_ENDPOINT_URL: fixture.platform.awsUrl });

test('says each difference and changes nothing; a difference is a failure', async () => {
  const { code, out } = await reconcile();
  expect(code).toBe(1);
  expect(out.trimEnd().split('\n')).toEqual([
    '! found  7d3f0c1e-97a5-4e0c-8a0b-6a4c7c4f2d10  placement-newer',
    '    It is placement-newer\\u001b[2J.',
    '    The route follows.',
    '… and 1 more difference in the log of registry-reconcile',
    '2 differences, 0 mended, 3 tenants compared',
  ]);
});

test('--apply says them first, and fails where one is left', async () => {
  const { code, out } = await reconcile('--apply');
  expect(code).toBe(1);
  const [seen, applied] = out.split('\n\n') as [string, string];
  expect(seen).toContain('! found');
  expect(applied.trimEnd().split('\n')).toEqual([
    '✔ mended  7d3f0c1e-97a5-4e0c-8a0b-6a4c7c4f2d10  placement-newer',
    '    It is placement-newer\\u001b[2J.',
    '    The route follows.',
    '! left  database  database-unreachable',
    '    It is database-unreachable\\u001b[2J.',
    '    Nothing is changed here.',
    '2 differences, 1 mended, 3 tenants compared',
  ]);
});

test('--register-lost is told to the workflow, and is off without it', async () => {
  expect((await reconcile('--register-lost')).code).toBe(1);
  const { code, out } = await reconcile('--register-lost', '--apply');
  expect([code, out.trimEnd().split('\n').at(-1)]).toEqual([
    0,
    '2 differences, 2 mended, 3 tenants compared',
  ]);
});

test('where nothing differs, nothing is applied, and it succeeds', async () => {
  const other = await startEndpoint([
    {
      name: 'Reconcile',
      resources: {
        ...role('Role', []),
        Machine: machine({ look: none, apply: found('mended'), lookLost: none, applyLost: none }),
      },
    },
  ]);
  try {
    const outcome = await strata(['reconcile', '--apply'], { AWS_ENDPOINT_URL: other.platform.awsUrl });
    expect(outcome).toMatchObject({ code: 0, out: 'no difference, 3 tenants compared\n' });
  } finally {
    await other.stop();
  }
});

test('a workflow that fails, or is not there, is a failure by name', async () => {
  const failing = {
    Type: 'AWS::StepFunctions::StateMachine',
    Properties: {
      StateMachineName: 'registry-reconcile',
      RoleArn: att('Role', 'Arn'),
      DefinitionString: JSON.stringify({
        StartAt: 'Fail',
        States: { Fail: { Type: 'Fail', Error: 'RegistryWithoutCells', Cause: 'Deploy first.' } },
      }),
    },
  };
  for (const [resources, message] of [
    [{ ...role('Role', []), Machine: failing }, /FAILED: RegistryWithoutCells Deploy first\./],
    [role('Role', []), /there is no state machine "registry-reconcile"/],
  ] as const) {
    const other = await startEndpoint([{ name: 'Reconcile', resources }]);
    try {
      const { code, error } = await strata(['reconcile'], { AWS_ENDPOINT_URL: other.platform.awsUrl });
      expect(code).toBe(1);
      expect(error).toMatch(message);
    } finally {
      await other.stop();
    }
  }
});
