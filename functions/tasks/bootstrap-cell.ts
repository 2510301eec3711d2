import * as z from 'zod';
import { bootstrapDataDatabase } from '../database/provisioning/bootstrap-data-database.ts';
import { dataConnection } from '../database/provisioning/data-connection.ts';
import { registryFromEnvironment } from '../database/registry/data-api.ts';
import { registerCell } from '../database/registry/register-cell.ts';
import { CredentialStore } from '../database/session/credentials.ts';
import { customResourceHandler } from '../middleware/custom-resource.ts';

const text = z.string().min(1);

/** `Custom::StrataCellBootstrap`: brings a cell's database up to date and makes the cell known, on every deployment. */
export const handler = customResourceHandler({
  properties: z.object({
    CellId: text,
    Region: text,
    DataResidency: text,
    ProxyHost: text,
    ProxyName: text,
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
    try {
      await bootstrapDataDatabase(master, {
        ownerPassword: owner.password,
        starter: { roleName: starter.username, password: starter.password },
        shared: true,
      });
    } finally {
      await master.end();
    }
    // Last: tenants are placed in cells that the registry knows.
    await registerCell(registryFromEnvironment(), {
      cellId: cell.CellId,
      region: cell.Region,
      dataResidency: cell.DataResidency,
      databaseHost: cell.ProxyHost,
      databasePort: cell.Port,
      writerHost: cell.WriterHost,
      databaseName: cell.Database,
      proxyName: cell.ProxyName,
      clusterArn: cell.ClusterArn,
      masterSecretArn: cell.MasterSecretArn,
      ownerSecretArn: cell.OwnerSecretArn,
      starterRoleName: starter.username,
      starterSecretArn: cell.StarterSecretArn,
      maxBusinessTenants: cell.MaxBusinessTenants,
    });
  },
});
