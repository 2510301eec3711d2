import {
  ExecuteStatementCommand,
  type Field,
  RDSDataClient,
  type SqlParameter,
} from '@aws-sdk/client-rds-data';
import { stackNamed } from '../running-fixture.ts';
import { att, type FixtureStack, ref, role } from './assembly.ts';
import { type EndpointFixture, startEndpoint } from './endpoint-fixture.ts';

export const CLUSTER = 'arn:aws:rds:us-east-1:000000000000:cluster:registry';
export const ID = '7f0c0e4a-4b0e-4b5e-9a52-6f6f3d3b2a10';

const secret = (name: string, username: string) => ({
  Type: 'AWS::SecretsManager::Secret',
  Properties: {
    Name: name,
    KmsKeyId: att('Key', 'Arn'),
    GenerateSecretString: {
      SecretStringTemplate: JSON.stringify({ username, dbname: 'registry' }),
      GenerateStringKey: 'password',
      ExcludePunctuation: true,
    },
  },
});

const dataStack: FixtureStack = {
  name: 'Data',
  resources: {
    Key: { Type: 'AWS::KMS::Key', Properties: {} },
    Master: secret('registry/master', 'strata_master'),
    Other: secret('registry/other', 'strata_master'),
    Registry: {
      Type: 'AWS::RDS::DBCluster',
      Properties: {
        DBClusterIdentifier: 'registry',
        DatabaseName: 'registry',
        MasterUsername: 'strata_master',
        MasterUserPassword: {
          'Fn::Join': ['', ['{{resolve:secretsmanager:', ref('Master'), ':SecretString:password::}}']],
        },
        EnableHttpEndpoint: true,
      },
    },
    ...role('Reader', [
      { Action: 'rds-data:ExecuteStatement', Resource: CLUSTER },
      { Action: 'secretsmanager:GetSecretValue', Resource: ref('Master') },
      {
        Action: 'kms:Decrypt',
        Resource: att('Key', 'Arn'),
        Condition: { StringEquals: { 'kms:ViaService': 'secretsmanager.us-east-1.amazonaws.com' } },
      },
    ]),
    ...role('NoSecret', [{ Action: 'rds-data:*', Resource: CLUSTER }]),
    ...role('NoKey', [
      { Action: 'rds-data:*', Resource: CLUSTER },
      { Action: 'secretsmanager:GetSecretValue', Resource: ref('Master') },
    ]),
  },
  outputs: { Secret: { Value: ref('Master') } },
};

/** A platform with one cluster, and shorthands for statements on it. */
export interface DataApiFixture {
  fixture: EndpointFixture;
  client: RDSDataClient;
  secretArn: string;
  execute(
    sql: string,
    parameters?: SqlParameter[],
    extra?: Record<string, unknown>,
    as?: RDSDataClient,
  ): ReturnType<typeof executeOn>;
  /** The only field of the only row. */
  value(sql: string, parameters?: SqlParameter[]): Promise<Field>;
}

/** Starts it, with a table of things. */
export async function startDataApi(): Promise<DataApiFixture> {
  const fixture = await startEndpoint([dataStack]);
  const client = new RDSDataClient(fixture.client());
  const secretArn = stackNamed(fixture.platform, 'Data').outputs.Secret!;
  const execute: DataApiFixture['execute'] = (sql, parameters = [], extra = {}, as = client) =>
    executeOn(as, { secretArn, sql, parameters, ...extra });
  await execute(`CREATE TABLE things (
    id uuid PRIMARY KEY, name text, attributes jsonb, amount numeric(12,2), made timestamptz, day date, seen time)`);
  return {
    fixture,
    client,
    secretArn,
    execute,
    async value(sql, parameters = []) {
      const { records } = await execute(sql, parameters);
      return records![0]![0]!;
    },
  };
}

function executeOn(
  client: RDSDataClient,
  input: { secretArn: string; sql: string; parameters: SqlParameter[] },
) {
  return client.send(new ExecuteStatementCommand({ resourceArn: CLUSTER, database: 'registry', ...input }));
}

export const text = (
  name: string,
  stringValue: string,
  typeHint?: SqlParameter['typeHint'],
): SqlParameter => ({
  name,
  value: { stringValue },
  ...(typeHint ? { typeHint } : {}),
});
