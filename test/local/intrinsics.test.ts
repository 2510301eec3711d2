// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Fn::Sub has placeholders of its own.
import { describe, expect, test } from 'vitest';
import {
  type DeployedStack,
  type IntrinsicScope,
  internals,
  type Template,
} from '../../infra/local/index.ts';

const { conditionHolds, resolveIntrinsics, stackScope, referencesOf } = await internals();

const template: Template = {
  Parameters: { Ids: { Type: 'CommaDelimitedList' }, Size: { Type: 'Number' } },
  Mappings: { Prices: { east: { small: 7 } } },
  Conditions: {
    Large: { 'Fn::Equals': [{ Ref: 'Size' }, 100] },
    Small: { 'Fn::Not': [{ Condition: 'Large' }] },
    Both: { 'Fn::And': [{ Condition: 'Large' }, { Condition: 'Small' }] },
    Either: { 'Fn::Or': [{ Condition: 'Large' }, { Condition: 'Small' }] },
  },
  Resources: {},
};

const stack: DeployedStack = {
  name: 'Home',
  arn: 'arn:aws:cloudformation:us-east-1:000000000000:stack/Home/local',
  region: 'us-east-1',
  template,
  outputs: {},
  parameters: { Ids: 'a, b,c', Size: '3' },
  resources: new Map([
    [
      'Queue',
      {
        stack: 'Home',
        logicalId: 'Queue',
        type: 'AWS::SQS::Queue',
        properties: {},
        ref: 'queue-url',
        attributes: { Arn: 'queue-arn', 'Endpoint.Port': 5432 },
      },
    ],
  ]),
};
const secrets: Record<string, string> = {
  'arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf': '{"username":"u","password":"p,w"}',
};
const scope: IntrinsicScope = stackScope(
  stack,
  '000000000000',
  new Map([['us-east-1 Home:Bus', 'bus-arn']]),
  { secretString: (secretId) => secrets[secretId] ?? 'none' },
);
const resolve = (value: unknown) => resolveIntrinsics(value, scope);

describe('intrinsic functions', () => {
  test.each([
    [{ Ref: 'Queue' }, 'queue-url'],
    [{ Ref: 'AWS::Region' }, 'us-east-1'],
    [{ Ref: 'AWS::StackName' }, 'Home'],
    [{ Ref: 'Ids' }, ['a', 'b', 'c']],
    [{ 'Fn::GetAtt': ['Queue', 'Arn'] }, 'queue-arn'],
    [{ 'Fn::GetAtt': 'Queue.Endpoint.Port' }, 5432],
    [{ 'Fn::Join': ['-', ['x', { Ref: 'Queue' }, 7]] }, 'x-queue-url-7'],
    [{ 'Fn::Join': ['', { 'Fn::Split': ['-', 'a-b'] }] }, 'ab'],
    [{ 'Fn::Sub': '${AWS::Partition}:${Queue.Arn}:${!Literal}' }, 'aws:queue-arn:${Literal}'],
    [{ 'Fn::Sub': ['${A}/${Queue}', { A: { Ref: 'Size' } }] }, '3/queue-url'],
    [{ 'Fn::Select': ['1', { Ref: 'Ids' }] }, 'b'],
    [{ 'Fn::Select': [0, { 'Fn::GetAZs': '' }] }, 'us-east-1a'],
    [{ 'Fn::If': ['Large', { Ref: 'Missing' }, 'small'] }, 'small'],
    [{ 'Fn::FindInMap': ['Prices', 'east', 'small'] }, 7],
    [{ 'Fn::ImportValue': { 'Fn::Sub': 'Home:Bus' } }, 'bus-arn'],
    [{ 'Fn::Base64': 'hello' }, 'aGVsbG8='],
    [{ A: { Ref: 'AWS::NoValue' }, B: [1, { Ref: 'AWS::NoValue' }] }, { B: [1] }],
    [
      { Effect: 'Allow', Condition: { Bool: { x: true } } },
      { Effect: 'Allow', Condition: { Bool: { x: true } } },
    ],
    [{ Condition: { StringEquals: { Ref: 'Size' } } }, { Condition: { StringEquals: '3' } }],
  ])('%j', (value, expected) => {
    expect(resolve(value)).toEqual(expected);
  });

  test('conditions refer to each other', () => {
    const holds = (name: string) => conditionHolds(name, scope);
    expect(['Large', 'Small', 'Both', 'Either'].map(holds)).toEqual([false, true, false, true]);
  });

  test('a dynamic reference names a secret by ARN and a key of it', () => {
    const arn = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf';
    const reference = { 'Fn::Join': ['', ['{{resolve:secretsmanager:', arn, ':SecretString:password::}}']] };
    expect(resolve(reference)).toBe('p,w');
    expect(resolve(`user={{resolve:secretsmanager:${arn}:SecretString:username}}`)).toBe('user=u');
  });

  test.each([
    [{ 'Fn::Cidr': ['10.0.0.0/16', 6, 8] }, 'the intrinsic function Fn::Cidr is not supported locally'],
    [{ Ref: 'Missing' }, 'refers to Missing, which does not exist'],
    [
      { 'Fn::GetAtt': ['Queue', 'Nope'] },
      'refers to Queue.Nope, which AWS::SQS::Queue does not have locally',
    ],
    [{ 'Fn::ImportValue': 'Other' }, 'imports Other, which no stack exports'],
    [{ 'Fn::Select': [5, ['a']] }, 'Fn::Select: no element 5 in a list of 1'],
    [{ 'Fn::If': ['Nope', 1, 2] }, 'condition Nope is not defined'],
    ['{{resolve:ssm:/x}}', 'dynamic references to ssm are not supported locally'],
  ])('%j is refused in one line', (value, message) => {
    expect(() => resolve(value)).toThrow(message);
  });

  test('a resource depends on what its properties name, but not on the branch not taken', () => {
    const references = referencesOf(
      {
        Type: 'X',
        DependsOn: 'First',
        Properties: {
          a: { Ref: 'Second' },
          b: { 'Fn::Sub': ['${Third.Arn} ${own} ${!Not}', { own: { 'Fn::GetAtt': ['Fourth', 'Arn'] } }] },
          c: { 'Fn::If': ['Large', { Ref: 'Never' }, { Ref: 'Fifth' }] },
        },
      },
      (name) => conditionHolds(name, scope),
    );
    expect([...references].sort()).toEqual(['Fifth', 'First', 'Fourth', 'Second', 'Third']);
  });
});
