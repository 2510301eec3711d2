import { join } from 'node:path';
import {
  BatchExecuteStatementCommand,
  BeginTransactionCommand,
  CommitTransactionCommand,
  RDSDataClient,
  RollbackTransactionCommand,
  type SqlParameter,
} from '@aws-sdk/client-rds-data';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { role, writeAssembly } from './assembly.ts';
import { CLUSTER, type DataApiFixture, startDataApi, text } from './data-api-fixture.ts';

let api: DataApiFixture;

beforeAll(async () => {
  api = await startDataApi();
}, 60_000);

afterAll(() => api?.fixture.stop());

const execute: DataApiFixture['execute'] = (...statement) => api.execute(...statement);
const value: DataApiFixture['value'] = (...statement) => api.value(...statement);

describe('transactions', () => {
  const target = () => ({ resourceArn: CLUSTER, secretArn: api.secretArn, database: 'registry' });
  const begin = async () => (await api.client.send(new BeginTransactionCommand(target()))).transactionId!;
  const count = async () => (await value('SELECT count(*) FROM things')).longValue;
  const insert = (transactionId: string) =>
    execute('INSERT INTO things (id) VALUES (gen_random_uuid())', [], { transactionId });

  test('commit or roll back as a whole, unseen by others before', async () => {
    const before = await count();
    const first = await begin();
    await insert(first);
    expect(await count()).toBe(before);
    const { transactionStatus } = await api.client.send(
      new CommitTransactionCommand({ ...target(), transactionId: first }),
    );
    expect(transactionStatus).toBe('Transaction Committed');
    expect(await count()).toBe(before! + 1);
    const second = await begin();
    await insert(second);
    await api.client.send(new RollbackTransactionCommand({ ...target(), transactionId: second }));
    expect(await count()).toBe(before! + 1);
    await expect(insert(second)).rejects.toMatchObject({ name: 'TransactionNotFoundException' });
  });

  test('take one statement at a time', async () => {
    const transactionId = await begin();
    const slow = execute('SELECT pg_sleep(0.3)', [], { transactionId });
    await expect
      .poll(() => execute('SELECT 1', [], { transactionId }).catch((error: Error) => error.message))
      .toBe('Transaction is still running a query');
    await slow;
    await api.client.send(new RollbackTransactionCommand({ ...target(), transactionId }));
  });

  test('that failed cannot commit', async () => {
    const transactionId = await begin();
    await expect(execute('SELECT 1/0', [], { transactionId })).rejects.toThrow('22012');
    await expect(
      api.client.send(new CommitTransactionCommand({ ...target(), transactionId })),
    ).rejects.toThrow('25P02');
  });

  test('a batch is one of them', async () => {
    const before = await count();
    const sets = (...ids: string[]) => ids.map((id) => [text('id', id, 'UUID')]);
    const batch = (parameterSets: SqlParameter[][]) =>
      api.client.send(
        new BatchExecuteStatementCommand({
          ...target(),
          sql: 'INSERT INTO things (id) VALUES (:id)',
          parameterSets,
        }),
      );
    const [one, two] = [crypto.randomUUID(), crypto.randomUUID()];
    await expect(batch(sets(one, one))).rejects.toThrow('23505');
    expect(await count()).toBe(before);
    expect((await batch(sets(one, two))).updateResults).toHaveLength(2);
    expect(await count()).toBe(before! + 2);
  });

  test('calls outside of them share no session state', async () => {
    await execute(`SELECT set_config('app.leak', 'yes', false)`);
    for (let call = 0; call < 5; call++) {
      expect(await value(`SELECT coalesce(current_setting('app.leak', true), '')`)).toEqual({
        stringValue: '',
      });
    }
  });
});

describe('permissions', () => {
  const as = (roleName: string) => new RDSDataClient(api.fixture.client(roleName));

  test('take the statement, the secret and its key', async () => {
    expect((await execute('SELECT 1', [], {}, as('Reader'))).records).toEqual([[{ longValue: 1 }]]);
    await expect(execute('SELECT 1', [], {}, as('NoSecret'))).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: expect.stringContaining('is not authorized to perform: secretsmanager:GetSecretValue'),
    });
    await expect(execute('SELECT 1', [], {}, as('NoKey'))).rejects.toMatchObject({
      message: expect.stringContaining('is not authorized to perform: kms:Decrypt'),
    });
  });

  test('say what is missing in AWS’s words', async () => {
    await expect(
      as('Reader').send(new BeginTransactionCommand({ resourceArn: CLUSTER, secretArn: api.secretArn })),
    ).rejects.toMatchObject({
      name: 'AccessDeniedException',
      message: `User: arn:aws:sts::000000000000:assumed-role/Reader/Reader is not authorized to perform: rds-data:BeginTransaction on resource: ${CLUSTER} because no identity-based policy allows the rds-data:BeginTransaction action`,
    });
  });
});

test('a new password in the secret is used at once', async () => {
  const secrets = new SecretsManagerClient(api.fixture.client());
  const secretString = JSON.stringify({ username: 'strata_master', password: 'changed-1' });
  await api.fixture.platform.context.clusters.setMasterPassword(CLUSTER, 'changed-1');
  await secrets.send(new PutSecretValueCommand({ SecretId: api.secretArn, SecretString: secretString }));
  expect(await value('SELECT 1')).toEqual({ longValue: 1 });
});

test('a warm call takes a few milliseconds', async () => {
  await value('SELECT 1');
  const times: number[] = [];
  for (let call = 0; call < 50; call++) {
    const start = performance.now();
    await value('SELECT 1');
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  // Generous: this machine runs other tests at the same time.
  expect(times[25]).toBeLessThan(25);
});

test('a cluster of the last start answers although its own stack is not deployed again', async () => {
  const { fixture } = api;
  // Of another region: a start may leave out whole regions only.
  const other = { name: 'Other', region: 'eu-west-1', resources: role('Any', []) };
  await fixture.restart(() => void writeAssembly(join(fixture.stateDir, '..', 'cdk.out'), [other]));
  expect(await value('SELECT 1')).toEqual({ longValue: 1 });
});
