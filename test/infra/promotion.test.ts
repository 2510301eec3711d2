import { beforeAll, describe, expect, test } from 'vitest';
import { defaultPromotionPolicy, readPromotionPolicy } from '../../functions/promotion/promotion-policy.ts';
import { config } from '../../infra/config.ts';
import { promotion, promotionProblems } from '../../infra/promotion-config.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('default');
});

const functionNamed = (entry: string): Resource =>
  assembly.resources.find(({ Properties }) => Properties?.Handler === `${entry}.handler`) as Resource;
const environmentOf = (entry: string) =>
  (functionNamed(entry).Properties.Environment as { Variables: Record<string, unknown> }).Variables;
/** `action resource` of all that the function may do. */
function rightsOf(entry: string): string[] {
  const role = text(functionNamed(entry).Properties.Role);
  return allowStatements(assembly.resources)
    .filter(({ roles }) => roles.some((one) => role.includes(one)))
    .flatMap(({ statement }) =>
      listOf(statement.Action).flatMap((action) =>
        listOf(statement.Resource).map((resource) => `${text(action)} ${text(resource)}`),
      ),
    );
}

describe('the configuration of promotions', () => {
  test('says what the functions would do without one, and reaches them whole', () => {
    expect(config.promotion).toEqual(defaultPromotionPolicy);
    const given = environmentOf('tasks/promotion-evaluate').PROMOTION_POLICY as string;
    expect(readPromotionPolicy({ PROMOTION_POLICY: given })).toEqual(config.promotion);
  });

  test('is checked, every mistake at once', () => {
    expect(promotionProblems(promotion)).toEqual([]);
    expect(promotionProblems({ ...promotion, maintenanceWindow: { startHour: 22, endHour: 3 } })).toEqual([]);
    const mistakes = {
      ...promotion,
      demotionMargin: -1,
      cooldownDays: 366,
      maxRunningMoves: 1.5,
      business: { users: 0, monthlyRevenue: 500 },
      enterprise: { ...promotion.enterprise, storageShare: 80, sustained: { samples: 6, last: 5 } },
      maintenanceWindow: { startHour: 3, endHour: 24 },
    };
    expect(promotionProblems(mistakes)).toEqual([
      'promotion: business.users is 0, expected more than 0',
      'promotion: enterprise.storageShare is 80, expected more than 0, at most 1',
      'promotion: enterprise.sustained.samples is 6, expected 1 to 5',
      'promotion: demotionMargin is -1, expected 0 to 10',
      'promotion: cooldownDays is 366, expected 0 to 365',
      'promotion: maxRunningMoves is 1.5, expected 0 to 100',
      'promotion: maintenanceWindow.endHour is 24, expected 0 to 23',
      'promotion: maintenanceWindow 3 to 24 leaves out 2, the hour of the daily run',
    ]);
  });
});

test('the daily run comes at half past two, in the window, and says so to who starts it at another time', () => {
  const schedule = assembly.resources.find(
    ({ Properties }) => Properties?.Name === 'strata-us-daily-promotion',
  );
  expect(schedule?.Properties.ScheduleExpression).toBe('cron(30 2 * * ? *)');
  const target = schedule?.Properties.Target as { Input: string };
  expect(JSON.parse(target.Input)).toEqual({
    timeOfDay: '02:30',
    scheduledTime: '<aws.scheduler.scheduled-time>',
  });
});

test('who measures may sign in as owners and start nothing', () => {
  const rights = rightsOf('tasks/meter-tenants').join('\n');
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*owner/i);
  expect(rights).toMatch(/secretsmanager:GetSecretValue .*strata\/dedicated/);
  expect(rights).not.toMatch(/master/i);
  expect(rights).not.toMatch(/states:|sns:|lambda:|strata\/tenant/);
});

test('who decides may start moves and tell people, and reaches no tenant’s data', () => {
  const rights = rightsOf('tasks/promotion-evaluate');
  const secrets = rights.filter((right) => right.startsWith('secretsmanager:GetSecretValue'));
  expect(secrets).toEqual([expect.stringMatching(/Registry.*Writer/)]);
  expect(functionNamed('tasks/promotion-evaluate').Properties).not.toHaveProperty('VpcConfig');
  expect(rights.filter((right) => /^(states|sns|lambda):/.test(right))).toEqual([
    expect.stringMatching(/^lambda:InvokeFunction <PromotionMetering\w+\.Arn>$/),
    expect.stringMatching(/^states:StartExecution .*:stateMachine:tenant-move$/),
    expect.stringMatching(/^sns:Publish <PromotionNotifications\w+>$/),
  ]);
});
