import { beforeAll, expect, test } from 'vitest';
import { internals, type Tag } from '../../infra/local/index.ts';
import { allowStatements, type FoundStatement, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

const { conditionContext, evaluate, requestTags, resourceTags } = await internals();

let world: Assembly;
beforeAll(async () => {
  world = await sharedAssembly('threeRegions');
});

const resolved = (value: unknown): string => text(value).replaceAll('<AWS::AccountId>', '000000000000');
const tagsOf = ({ Properties }: Resource): Tag[] =>
  listOf(Properties.Tags ?? []).map((one) => {
    const { Key, Value } = one as { Key: string; Value: unknown };
    return { Key, Value: text(Value) };
  });
const tagged = (component: string): Tag[] => [{ Key: 'strata:component', Value: component }];

/** A proxy or target group of the templates, with the tags it gets from there. */
function ofCell(type: string): Tag[] {
  const [found] = world.resources.filter(
    ({ stack, Type }) => stack === 'Strata-eu-cell-eu-1' && Type === type,
  );
  return tagsOf(found!);
}
function ofDedicated(type: string): Tag[] {
  const [found] = Object.values(world.dedicated.template.Resources).filter(({ Type }) => Type === type);
  return tagsOf(found!);
}

/** Decides as IAM does, by the synthesized statements of one principal. */
function allows(
  found: FoundStatement[],
  action: string,
  kind: 'db-proxy' | 'target-group',
  tags: { has?: Tag[]; sends?: Tag[] },
): boolean {
  const identity = found.map(({ statement }) => ({
    Statement: {
      Effect: statement.Effect,
      Condition: statement.Condition as Record<string, never>,
      Action: listOf(statement.Action).map(resolved),
      Resource: listOf(statement.Resource).map(resolved),
    },
  }));
  const roleArn = 'arn:aws:iam::000000000000:role/one';
  const resource = `arn:aws:rds:eu-west-1:000000000000:${kind}:prx-0123`;
  const context = conditionContext(
    resourceTags(tags.has ?? []),
    tags.sends ? requestTags(tags.sends) : undefined,
  );
  const request = { roleArn, sessionArn: roleArn, action, resource, context };
  return evaluate(request, { identity }).allowed;
}

test('the proxy task changes proxies of cells in another region, no dedicated ones and none without the tag', () => {
  const [task] = world.resources.filter(
    ({ stack, Properties }) =>
      stack === 'Strata-us-operations' && Properties.Handler === 'tasks/move-aws.handler',
  );
  const statements = allowStatements(world.resources).filter(
    ({ where, roles }) =>
      where.startsWith('Strata-us-operations/') &&
      roles.some((role) => text(task!.Properties.Role) === `<${role}.Arn>`),
  );
  const change = (has: Tag[]) => allows(statements, 'rds:ModifyDBProxy', 'db-proxy', { has });
  expect(change(ofCell('AWS::RDS::DBProxy'))).toBe(true);
  expect(change(ofDedicated('AWS::RDS::DBProxy'))).toBe(false);
  expect(change(tagged('other'))).toBe(false);
  expect(change([])).toBe(false);
});

test('the service role of dedicated databases changes their proxies only, and creates none without their tag', () => {
  const statements = allowStatements(world.resources).filter(({ where }) =>
    /^Strata-eu-operations\/.*ServiceRoleRights/.test(where),
  );
  expect(statements).not.toEqual([]);
  const may = (action: string, kind: 'db-proxy' | 'target-group', tags: Parameters<typeof allows>[3]) =>
    allows(statements, `rds:${action}`, kind, tags);
  const own = ofDedicated('AWS::RDS::DBProxy');
  for (const action of ['ModifyDBProxy', 'DeleteDBProxy', 'RemoveTagsFromResource', 'ListTagsForResource']) {
    expect(may(action, 'db-proxy', { has: own }), action).toBe(true);
    expect(may(action, 'db-proxy', { has: ofCell('AWS::RDS::DBProxy') }), action).toBe(false);
    expect(may(action, 'db-proxy', { has: [] }), action).toBe(false);
  }
  for (const action of ['CreateDBProxy', 'AddTagsToResource']) {
    expect(may(action, 'db-proxy', { sends: own }), action).toBe(true);
    expect(may(action, 'db-proxy', { sends: tagged('data-plane') }), action).toBe(false);
    expect(may(action, 'db-proxy', { sends: [] }), action).toBe(false);
  }
  // A change of another tag.
  expect(may('AddTagsToResource', 'db-proxy', { has: own, sends: [{ Key: 'other', Value: '1' }] })).toBe(
    true,
  );
  // What is a cell's does not become a dedicated one by a tag.
  const taken = { has: ofCell('AWS::RDS::DBProxy'), sends: own };
  expect(may('AddTagsToResource', 'db-proxy', taken)).toBe(false);
});

test('the service role of dedicated databases works on target groups before they are tagged, not on those of cells', () => {
  const statements = allowStatements(world.resources).filter(({ where }) =>
    /^Strata-eu-operations\/.*ServiceRoleRights/.test(where),
  );
  for (const action of ['ModifyDBProxyTargetGroup', 'RegisterDBProxyTargets', 'DeregisterDBProxyTargets']) {
    const may = (has: Tag[]) => allows(statements, `rds:${action}`, 'target-group', { has });
    expect(may([]), action).toBe(true);
    expect(may(ofDedicated('AWS::RDS::DBProxyTargetGroup')), action).toBe(true);
    expect(may(ofCell('AWS::RDS::DBProxyTargetGroup')), action).toBe(false);
  }
});
