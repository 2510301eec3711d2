import { describe, expect, test } from 'vitest';
import {
  type Decision,
  internals,
  type Policies,
  type PolicyDocument,
  type Statement,
} from '../../../infra/local/index.ts';

const { conditionContext, evaluate } = await internals();

const ROLE = 'arn:aws:iam::000000000000:role/api';
const SECRET = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:strata/us-1/starter-AbCdEf';

const policy = (...statements: Statement[]): PolicyDocument => ({
  Version: '2012-10-17',
  Statement: statements,
});
const allow = (fields: Partial<Statement> = {}): Statement => ({
  Effect: 'Allow',
  Action: 'secretsmanager:GetSecretValue',
  Resource: '*',
  ...fields,
});
const deny = (fields: Partial<Statement> = {}): Statement => ({ ...allow(fields), Effect: 'Deny' });
/** Without the members that are replaced by their negation. */
const without = (statement: Statement, ...members: (keyof Statement)[]): Statement => {
  const rest = { ...statement };
  for (const member of members) delete rest[member];
  return rest;
};

function decide(
  policies: Policies,
  request: { action?: string; resource?: string; context?: Record<string, string | string[]> } = {},
): Decision {
  return evaluate(
    {
      roleArn: ROLE,
      sessionArn: 'arn:aws:sts::000000000000:assumed-role/api/people',
      action: request.action ?? 'secretsmanager:GetSecretValue',
      resource: request.resource ?? SECRET,
      context: conditionContext(request.context),
    },
    policies,
  );
}

const allowed = (statements: Statement[], request: Parameters<typeof decide>[1] = {}): boolean =>
  decide({ identity: [policy(...statements)] }, request).allowed;

describe('actions and resources', () => {
  test.each<[string, Statement[], boolean]>([
    ['nothing is allowed by itself', [], false],
    ['the very action', [allow()], true],
    ['without regard to case', [allow({ Action: 'SecretsManager:getsecretvalue' })], true],
    ['by wildcard', [allow({ Action: 'secretsmanager:Get*' })], true],
    ['by one-character wildcard', [allow({ Action: 'secretsmanager:GetSecretValu?' })], true],
    ['another action', [allow({ Action: ['secretsmanager:PutSecretValue', 'kms:*'] })], false],
    ['the very resource', [allow({ Resource: SECRET })], true],
    [
      'a resource pattern',
      [allow({ Resource: 'arn:aws:secretsmanager:us-east-1:*:secret:strata/*/starter-*' })],
      true,
    ],
    ['a suffix of six', [allow({ Resource: SECRET.replace('AbCdEf', '??????') })], true],
    ['a suffix of five', [allow({ Resource: SECRET.replace('AbCdEf', '?????') })], false],
    ['another resource', [allow({ Resource: SECRET.replace('starter', 'owner') })], false],
    ['resources differ by case', [allow({ Resource: SECRET.replace('AbCdEf', 'abcdef') })], false],
    [
      'regular expression characters are literal',
      [allow({ Resource: SECRET.replace('-AbCdEf', '.AbCdEf') })],
      false,
    ],
    ['NotAction of others', [without(allow({ NotAction: 'kms:*' }), 'Action')], true],
    ['NotAction of this', [without(allow({ NotAction: 'secretsmanager:*' }), 'Action')], false],
    ['NotResource of others', [without(allow({ NotResource: 'arn:aws:s3:::*' }), 'Resource')], true],
    ['NotResource of this', [without(allow({ NotResource: SECRET }), 'Resource')], false],
    ['an explicit deny wins', [allow(), deny()], false],
    ['a deny of something else does not', [allow(), deny({ Resource: 'arn:aws:s3:::*' })], true],
    ['a statement without resource allows nothing', [without(allow(), 'Resource')], false],
    [
      'a variable of the request',
      [allow({ Resource: SECRET.replace('000000000000', '$' + '{aws:PrincipalAccount}') })],
      false,
    ],
  ])('%s', (_name, statements, expected) => {
    expect(allowed(statements)).toBe(expected);
  });

  test('variables are filled from the request', () => {
    const Resource = SECRET.replace('000000000000', '$' + '{aws:PrincipalAccount}');
    const context = { 'aws:PrincipalAccount': '000000000000' };
    expect(allowed([allow({ Resource })], { context })).toBe(true);
  });

  test('an action that the table of actions lacks is denied even to a star', () => {
    const everything = [allow({ Action: '*' })];
    expect(allowed(everything)).toBe(true);
    expect(decide({ identity: [policy(...everything)] }, { action: 'secretsmanager:NobodyKnows' })).toEqual({
      allowed: false,
      why: 'unknown action',
    });
  });
});

describe('conditions', () => {
  const via = (value: string) => ({ 'secretsmanager:VersionStage': value });
  test.each<[string, Record<string, Record<string, unknown>>, Record<string, string | string[]>, boolean]>([
    ['StringEquals', { StringEquals: via('a') }, via('a'), true],
    [
      'StringEquals, one of several',
      { StringEquals: { 'secretsmanager:VersionStage': ['b', 'a'] } },
      via('a'),
      true,
    ],
    ['StringEquals, different', { StringEquals: via('a') }, via('b'), false],
    ['StringEquals, missing key', { StringEquals: via('a') }, {}, false],
    ['keys ignore case', { StringEquals: { 'SecretsManager:versionSTAGE': 'a' } }, via('a'), true],
    [
      'StringLike',
      { StringLike: via('secrets*.amazonaws.com') },
      via('secretsmanager.us.amazonaws.com'),
      true,
    ],
    ['StringNotEquals', { StringNotEquals: via('a') }, via('b'), true],
    ['StringNotEquals, equal', { StringNotEquals: via('a') }, via('a'), false],
    ['StringNotEquals, missing key', { StringNotEquals: via('a') }, {}, true],
    [
      'ArnLike',
      { ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::*:role/api' } },
      { 'aws:PrincipalArn': ROLE },
      true,
    ],
    [
      'ArnLike, wildcards stay within their part',
      { ArnLike: { k: 'arn:aws:*:role/api' } },
      { k: ROLE },
      false,
    ],
    ['ArnEquals', { ArnEquals: { k: ROLE } }, { k: ROLE }, true],
    ['Bool', { Bool: { 'aws:SecureTransport': true } }, { 'aws:SecureTransport': 'true' }, true],
    [
      'Bool, different',
      { Bool: { 'aws:SecureTransport': 'false' } },
      { 'aws:SecureTransport': 'true' },
      false,
    ],
    ['IfExists, missing key', { StringEqualsIfExists: via('a') }, {}, true],
    ['IfExists, different', { StringEqualsIfExists: via('a') }, via('b'), false],
    ['Null', { Null: { k: 'true' } }, {}, true],
    ['Null, present', { Null: { k: 'true' } }, { k: 'x' }, false],
    ['ForAllValues', { 'ForAllValues:StringEquals': { k: ['a', 'b'] } }, { k: ['a', 'b'] }, true],
    ['ForAllValues, one other', { 'ForAllValues:StringEquals': { k: ['a'] } }, { k: ['a', 'b'] }, false],
    ['ForAllValues, missing key', { 'ForAllValues:StringEquals': { k: ['a'] } }, {}, true],
    ['ForAnyValue', { 'ForAnyValue:StringLike': { k: 'a*' } }, { k: ['x', 'ab'] }, true],
    ['ForAnyValue, missing key', { 'ForAnyValue:StringEquals': { k: 'a' } }, {}, false],
    [
      'all operators must hold',
      { StringEquals: { k: 'a' }, StringLike: { l: 'b' } },
      { k: 'a', l: 'c' },
      false,
    ],
    ['an unknown operator allows nothing', { NumericLessThan: { k: '5' } }, { k: '1' }, false],
    ['nor with a set', { 'ForAnyValue:DateLessThan': { k: '5' } }, { k: '1' }, false],
  ])('%s', (_name, Condition, context, expected) => {
    expect(allowed([allow({ Condition })], { context })).toBe(expected);
  });

  test('a deny whose operator is unknown denies', () => {
    expect(allowed([allow(), deny({ Condition: { NumericLessThan: { k: '5' } } })])).toBe(false);
  });
});

describe('what AWS authorizes an action on', () => {
  const rds = (kind: string) => `arn:aws:rds:us-east-1:000000000000:${kind}`;
  const anything = (Action: string, fields: Partial<Statement> = {}) => allow({ Action, ...fields });

  test('an action without a resource type is granted on a star only, whatever the call names', () => {
    const request = { action: 'rds:CreateDBProxy', resource: rds('db-proxy:prx-1') };
    expect(allowed([anything('rds:*')], request)).toBe(true);
    for (const Resource of [rds('db-proxy:*'), rds('*'), 'arn:*']) {
      expect(allowed([anything('rds:CreateDBProxy', { Resource })], request), Resource).toBe(false);
    }
    // So a deny on an ARN does not reach it either.
    const denied = deny({ Action: 'rds:CreateDBProxy', Resource: rds('db-proxy:*') });
    expect(allowed([anything('rds:*'), denied], request)).toBe(true);
  });

  test('a resource of a type that the action does not take is denied even to a star', () => {
    const request = { action: 'rds:ModifyDBProxy', resource: rds('cluster:one') };
    expect(decide({ identity: [policy(anything('*'))] }, request)).toEqual({
      allowed: false,
      why: 'unknown resource type',
    });
  });

  test('a condition key that the action does not have is not in the request', () => {
    const context = {
      'aws:RequestTag/team': 'a',
      'aws:ResourceTag/team': 'a',
      'aws:PrincipalAccount': '000000000000',
    };
    const requires = (key: string) => ({ StringEquals: { [key]: context[key as keyof typeof context] } });
    const may = (action: string, kind: string, key: string) =>
      allowed([anything(action, { Condition: requires(key) })], { action, resource: rds(kind), context });
    expect(may('rds:CreateDBProxy', 'db-proxy:prx-1', 'aws:RequestTag/team')).toBe(true);
    expect(may('rds:CreateDBProxy', 'db-proxy:prx-1', 'aws:ResourceTag/team')).toBe(false);
    expect(may('rds:ModifyDBProxy', 'db-proxy:prx-1', 'aws:ResourceTag/team')).toBe(true);
    expect(may('rds:ModifyDBProxy', 'db-proxy:prx-1', 'aws:RequestTag/team')).toBe(false);
    expect(may('rds:ModifyDBProxy', 'db-proxy:prx-1', 'aws:PrincipalAccount')).toBe(true);
  });
});

describe('boundaries and resource policies', () => {
  test('a boundary must allow as well, and allows nothing alone', () => {
    const identity = [policy(allow())];
    expect(decide({ identity, boundary: policy(allow({ Action: 'kms:*' })) })).toEqual({
      allowed: false,
      why: 'no permissions boundary',
    });
    expect(decide({ identity, boundary: policy(allow()) }).allowed).toBe(true);
    expect(decide({ identity: [], boundary: policy(allow()) }).allowed).toBe(false);
    expect(decide({ identity, boundary: policy(allow({ Action: '*' }), deny()) })).toEqual({
      allowed: false,
      why: 'explicit deny',
    });
  });

  test('a resource’s policy may name the role; the account’s root only lets its own policies decide', () => {
    const resource = (AWS: string) => policy(allow({ Principal: { AWS } }));
    expect(decide({ identity: [], resource: resource(ROLE) }).allowed).toBe(true);
    expect(decide({ identity: [], resource: resource(`${ROLE}2`) }).allowed).toBe(false);
    const root = 'arn:aws:iam::000000000000:root';
    expect(decide({ identity: [], resource: resource(root) }).allowed).toBe(false);
    expect(
      decide({ identity: [policy(allow())], resource: policy(deny({ Principal: { AWS: root } })) }),
    ).toEqual({
      allowed: false,
      why: 'explicit deny',
    });
  });
});
