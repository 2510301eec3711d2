import * as z from 'zod';
import { logger } from '../aws/logger.ts';
import { REGISTRY_READER_ROLE, REGISTRY_USERS_ROLE, REGISTRY_WRITER_ROLE } from '../contracts/names.ts';
import { CredentialStore } from '../database/session/credentials.ts';
import { bootstrapRegistry, REGISTRY_VERSION } from '../registry/bootstrap-registry.ts';
import { DataApi } from '../registry/data-api.ts';
import { writeCostBasis } from '../registry/price-tables.ts';
import { clusterProtection } from './cluster-protection.ts';
import { customResourceHandler, customResourceHandlers } from './custom-resource.ts';

/** `Custom::StrataRegistryBootstrap`: migrates the registry and gives its roles their passwords, on every deployment. */
const registry = customResourceHandler({
  properties: z.object({
    ClusterArn: z.string().min(1),
    MasterSecretArn: z.string().min(1),
    ReaderSecretArn: z.string().min(1),
    WriterSecretArn: z.string().min(1),
    UsersSecretArn: z.string().min(1),
    Database: z.string().min(1),
    /** JSON of a `CostBasis`. */
    CostBasis: z.string().min(1),
  }),
  physicalId: ({ Database }) => `registry-${Database}`,
  async apply(properties) {
    // Read on every call: a secret may have been rotated since this container last ran.
    const secrets = new CredentialStore();
    const registry = new DataApi({
      clusterArn: properties.ClusterArn,
      secretArn: properties.MasterSecretArn,
      database: properties.Database,
    });
    /** While the role's password is replaced, its secret has the credentials of another role. */
    const passwordOf = async (role: string, secretArn: string): Promise<string | undefined> => {
      const { username, password } = await secrets.get(secretArn);
      return username === role ? password : undefined;
    };
    const version = await bootstrapRegistry(registry, {
      readerPassword: await passwordOf(REGISTRY_READER_ROLE, properties.ReaderSecretArn),
      writerPassword: await passwordOf(REGISTRY_WRITER_ROLE, properties.WriterSecretArn),
      usersPassword: await passwordOf(REGISTRY_USERS_ROLE, properties.UsersSecretArn),
    });
    await writeCostBasis(registry, JSON.parse(properties.CostBasis));
    if (version > REGISTRY_VERSION) {
      // A rollback of a deployment runs the older code on the newer registry.
      logger.warn('the registry is ahead of this release and stays as it is', {
        version,
        ours: REGISTRY_VERSION,
      });
    }
  },
});

/** The function runs outside of the network, so that it reaches the API of RDS. */
export const handler = customResourceHandlers({
  'Custom::StrataRegistryBootstrap': registry,
  'Custom::StrataClusterProtection': clusterProtection,
});
