/** Every grant of the templates, against AWS's table of what an action is authorized on. */
import { beforeAll, expect, test } from 'vitest';
import { type ActionAuthorization, internals } from '../../infra/local/index.ts';
import { allowStatements, listOf, type Statement, text } from './iam-statements.ts';
import { type Assembly, sharedAssembly } from './synthesized-app.ts';

const { authorizationOf, hasConditionKey, resourceTypeOf } = await internals();

let world: Assembly;
beforeAll(async () => {
  world = await sharedAssembly('threeRegions');
});

const actionsOf = (statement: Statement) => listOf(statement.Action).map(text);
const resourcesOf = (statement: Statement) => listOf(statement.Resource).map(text).map(asArn);

/** What references to a resource, as a whole ARN, become. */
const ARNS: Readonly<Record<string, string>> = {
  'AWS::SecretsManager::Secret': 'arn:aws:secretsmanager:r:a:secret:one-??????',
  'AWS::RDS::DBCluster': 'arn:aws:rds:r:a:cluster:one',
  'AWS::RDS::DBProxy': 'arn:aws:rds:r:a:db-proxy:one',
  'AWS::Logs::LogGroup': 'arn:aws:logs:r:a:log-group:one:log-stream:two',
  'AWS::IAM::Role': 'arn:aws:iam::a:role/one',
  'AWS::KMS::Key': 'arn:aws:kms:r:a:key/one',
  'AWS::StepFunctions::StateMachine': 'arn:aws:states:r:a:stateMachine:one',
  'AWS::SNS::Topic': 'arn:aws:sns:r:a:one',
  'AWS::Lambda::Function': 'arn:aws:lambda:r:a:function:one',
  'AWS::S3::Bucket': 'arn:aws:s3:::one',
  'AWS::Cognito::UserPool': 'arn:aws:cognito-idp:r:a:userpool/one',
};

/** References to another stack's resource have its logical id in the name of an export. */
function asArn(resource: string): string {
  if (resource === '*' || resource.startsWith('arn:')) return resource;
  const [referred] = world.resources
    .filter(({ logicalId }) => resource.includes(logicalId))
    .sort((one, other) => other.logicalId.length - one.logicalId.length);
  const arn = ARNS[referred?.Type ?? ''];
  // What follows the reference names a part of the resource, such as the objects of a bucket.
  const part = resource.includes('>') ? resource.slice(resource.lastIndexOf('>') + 1) : '';
  return arn ? `${arn}${part}` : `unknown reference ${resource}`;
}

function known(action: string): ActionAuthorization {
  const authorization = authorizationOf(action);
  if (!authorization) throw new Error(`${action} is not in the table of actions`);
  return authorization;
}

test('an action that has no resource type is granted on a star, any other on a resource of a type that it takes', () => {
  for (const { where, statement } of allowStatements(world.resources)) {
    for (const action of actionsOf(statement)) {
      const authorization = known(action);
      const resources = resourcesOf(statement);
      if (authorization.types.size === 0) expect(resources, `${where} ${action}`).toEqual(['*']);
      else if (!resources.includes('*')) {
        const types = resources.map((resource) => resourceTypeOf(authorization, resource));
        expect(types.some(Boolean), `${where} ${action} on ${resources.join(' ')}`).toBe(true);
      }
    }
    for (const resource of resourcesOf(statement)) {
      const takes = actionsOf(statement).some(
        (action) => resource === '*' || resourceTypeOf(known(action), resource) !== undefined,
      );
      expect(takes, `${where}: no action of ${actionsOf(statement).join(' ')} takes ${resource}`).toBe(true);
    }
  }
});

test('a role that may do something may do it on every type of resource that the action wants', () => {
  const granted = new Map<string, Set<string>>();
  for (const { where, roles, statement } of allowStatements(world.resources)) {
    // A managed policy stands for the roles that it is attached to.
    for (const role of roles.length > 0 ? roles : [where]) {
      for (const action of actionsOf(statement)) {
        const key = `${where.split('/')[0]}/${role.split('/').at(-1)} ${action}`;
        granted.set(key, new Set([...(granted.get(key) ?? []), ...resourcesOf(statement)]));
      }
    }
  }
  for (const [key, resources] of granted) {
    const authorization = known(key.split(' ')[1]!);
    if (resources.has('*')) continue;
    const types = [...resources].map((resource) => resourceTypeOf(authorization, resource));
    const missing = authorization.required.filter((type) => !types.includes(type));
    expect(missing, `${key}: no right on a ${missing.join(', ')}`).toEqual([]);
  }
});

test('a condition asks only for keys that the action has', () => {
  for (const { where, statement } of allowStatements(world.resources)) {
    const conditions = (statement.Condition ?? {}) as Record<string, Record<string, unknown>>;
    const keys = Object.values(conditions).flatMap((tests) => Object.keys(tests));
    for (const action of actionsOf(statement)) {
      const authorization = known(action);
      const types = authorization.types.size > 0 ? [...authorization.types.keys()] : [undefined];
      for (const key of keys) {
        const has = types.some((type) => hasConditionKey(authorization, type, key.toLowerCase()));
        expect(has, `${where}: ${action} has no ${key}`).toBe(true);
      }
    }
  }
});
