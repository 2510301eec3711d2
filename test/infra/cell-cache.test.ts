import { beforeAll, expect, test } from 'vitest';
import { CACHE_ACCESS } from '../../functions/contracts/cache-user.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

let plain: Assembly;
let cached: Assembly;
beforeAll(async () => {
  [plain, cached] = await Promise.all([
    sharedAssembly('default'),
    sharedAssembly('threeRegionsOfThreeCells'),
  ]);
});

const ofType = (type: string) => cached.resources.filter(({ Type }) => Type === type);
const functionsWith = (assembly: Assembly, variable: string) =>
  assembly.resources
    .filter(({ Type, Properties }) => {
      const { Variables = {} } = (Properties?.Environment ?? {}) as { Variables?: object };
      return Type === 'AWS::Lambda::Function' && variable in Variables;
    })
    .map(({ stack, Properties }) => `${stack} ${text(Properties.Handler)}`);

test('nothing of a cache is in the default templates', () => {
  expect(plain.resources.filter(({ Type }) => Type.startsWith('AWS::ElastiCache'))).toEqual([]);
  expect(functionsWith(plain, 'CACHES')).toEqual([]);
});

test('each cell with a cache has one, encrypted under the region’s key, with one user and upper bounds', () => {
  const caches = ofType('AWS::ElastiCache::ServerlessCache');
  expect(caches).toHaveLength(9);
  for (const { Properties, stack } of caches) {
    expect(stack).toContain('-cell-');
    expect(Properties).toMatchObject({
      Engine: 'valkey',
      CacheUsageLimits: { DataStorage: { Maximum: 5 }, ECPUPerSecond: { Maximum: 10_000 } },
    });
    expect(Properties.KmsKeyId).toBeDefined();
    expect(Properties.UserGroupId).toBeDefined();
  }
  for (const { Properties } of ofType('AWS::ElastiCache::User')) {
    expect(Properties.AccessString).toBe(CACHE_ACCESS);
    // A dynamic reference, not a password.
    expect(JSON.stringify(Properties.AuthenticationMode)).toContain('{{resolve:secretsmanager:');
  }
});

test('the functions that serve tenants or commit moves know the caches of their region, and no other function does', () => {
  const contexts = ['assessments', 'audit', 'people', 'skills', 'users'];
  const expected = ['us', 'eu', 'apac'].flatMap((region) => [
    ...contexts.map((context) => `Strata-${region}-api api/${context}/handler.handler`),
    `Strata-${region}-operations tasks/move-data.handler`,
  ]);
  expect(functionsWith(cached, 'CACHES').sort()).toEqual(expected.sort());
  const people = cached.resources.find(
    ({ stack, Properties }) =>
      stack === 'Strata-eu-api' && text(Properties?.Handler) === 'api/people/handler.handler',
  );
  expect(
    (people?.Properties.Environment as { Variables: Record<string, string> } | undefined)?.Variables.CACHES,
  ).toBe('eu-1,eu-2,eu-3');
});

test('only these functions may read the secrets of the caches, and only functions reach the port', () => {
  const readers = new Set<string>();
  for (const { where, statement } of allowStatements(cached.resources)) {
    if (!listOf(statement.Action).map(text).includes('secretsmanager:GetSecretValue')) continue;
    if (
      listOf(statement.Resource)
        .map(text)
        .some((resource) => /\/cache(-address)?-/.test(resource))
    )
      readers.add(where.replace(/RoleDefaultPolicy\w+$/, ''));
  }
  const expected = ['apac', 'eu', 'us'].flatMap((region) => [
    ...['Assessments', 'Audit', 'People', 'Skills', 'Users'].map((id) => `Strata-${region}-api/${id}`),
    `Strata-${region}-operations/MovesTasksdata`,
  ]);
  expect([...readers].sort()).toEqual(expected);
  const rules = ofType('AWS::EC2::SecurityGroupIngress').filter(
    ({ Properties }) => Properties.ToPort === 6379,
  );
  expect(rules).toHaveLength(2 * 3);
  for (const { Properties } of rules)
    expect(text(Properties.SourceSecurityGroupId)).toMatch(/ApiFunctions|TaskFunctions/);
});
