import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { bootstrapDataDatabase } from '../database/provisioning/bootstrap-data-database.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { thisRelease } from '../database/provisioning/release.ts';
import { CredentialStore } from '../database/session/credentials.ts';
import { registerCell } from '../registry/cells.ts';
import { registryFromEnvironment } from '../registry/data-api.ts';
import { customResourceHandler } from './custom-resource.ts';

const text = z.string().min(1);

/**
 * `Custom::StrataCellBootstrap`: creates a cell's database and registers the cell, on every deployment. Tables that
 * exist are changed by the rollout that the deployment starts.
 */
export const handler = customResourceHandler({
  properties: z.object({
    CellId: text,
    Region: text,
    DataResidency: text,
    ProxyHost: text,
    ProxyName: text,
    /** Empty without readers. */
    ProxyReaderHost: z.string().default(''),
    WriterHost: text,
    Port: z.coerce.number().int().min(1).max(65535),
    Database: text,
    ClusterArn: text,
    MasterSecretArn: text,
    OwnerSecretArn: text,
    StarterSecretArn: text,
    MaxBusinessTenants: z.coerce.number().int().nonnegative(),
  }),
  physicalId: ({ CellId }) => `cell-${CellId}`,
  async apply(cell) {
    const secrets = new CredentialStore();
    const owner = await secrets.get(cell.OwnerSecretArn);
    const starter = await secrets.get(cell.StarterSecretArn);
    const master = await dataConnection({
      host: cell.WriterHost,
      port: cell.Port,
      database: cell.Database,
      secretArn: cell.MasterSecretArn,
    });
    const versions = await bootstrapDataDatabase(master, {
      ownerPassword: owner.password,
      starter: { roleName: starter.username, password: starter.password },
      shared: true,
    }).finally(() => master.end());
    const { schemaVersion = 0, tenancyVersion } = versions;
    if (schemaVersion > thisRelease.schemaVersion || tenancyVersion > thisRelease.tenancyVersion) {
      // A rollback of a deployment runs the older code on the newer database.
      logger.warn('the cell is ahead of this release and stays as it is', {
        cell: cell.CellId,
        schemaVersion,
        tenancyVersion,
        ours: { schemaVersion: thisRelease.schemaVersion, tenancyVersion: thisRelease.tenancyVersion },
      });
    }
    // Last, because tenants are placed in registered cells.
    await registerCell(registryFromEnvironment(), {
      cellId: cell.CellId,
      region: cell.Region,
      dataResidency: cell.DataResidency,
      databaseHost: cell.ProxyHost,
      databasePort: cell.Port,
      readerHost: cell.ProxyReaderHost || null,
      writerHost: cell.WriterHost,
      databaseName: cell.Database,
      proxyName: cell.ProxyName,
      clusterArn: cell.ClusterArn,
      masterSecretArn: cell.MasterSecretArn,
      ownerSecretArn: cell.OwnerSecretArn,
      starterRoleName: starter.username,
      starterSecretArn: cell.StarterSecretArn,
      maxBusinessTenants: cell.MaxBusinessTenants,
      schemaVersion,
      tenancyVersion,
    });
  },
});
