import { DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import { expect, test } from 'vitest';
import { call, operatorToken, platform } from './running-platform.ts';

test('every cluster is protected once it serves: of the registry, of a cell, of an Enterprise tenant', async () => {
  const rds = new RDSClient({
    endpoint: platform().awsUrl,
    region: 'us-east-1',
    credentials: { accessKeyId: 'administrator', secretAccessKey: 'local' },
  });
  const { body } = await call('GET', '/tenants/acme', { token: await operatorToken() });
  const dedicated = `strata-tenant-${body.tenantId}`;
  const { DBClusters } = await rds.send(new DescribeDBClustersCommand({}));
  for (const name of ['strata-registry', 'strata-us-1', dedicated]) {
    const found = DBClusters!.filter(({ DBClusterIdentifier }) => DBClusterIdentifier!.startsWith(name));
    expect(found, name).toMatchObject([{ DeletionProtection: true }]);
  }
});
