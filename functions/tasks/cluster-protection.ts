import * as z from 'zod';
import { setDeletionProtection } from '../places/dedicated-cluster.ts';
import { customResourceHandler } from './custom-resource.ts';

/**
 * `Custom::StrataClusterProtection`: sets the deletion protection of a stack's clusters. It is the stack's last
 * resource, so nothing can fail after it and make CloudFormation delete a cluster that is protected. Should it fail
 * itself, it takes back what it has switched on.
 */
export const clusterProtection = customResourceHandler({
  properties: z.object({
    ClusterIdentifiers: z.array(z.string().min(1)),
    DeletionProtection: z.enum(['true', 'false']).transform((text) => text === 'true'),
  }),
  physicalId: () => 'cluster-protection',
  async apply({ ClusterIdentifiers, DeletionProtection }) {
    const changed: string[] = [];
    try {
      for (const cluster of ClusterIdentifiers) {
        if (await setDeletionProtection(cluster, DeletionProtection)) changed.push(cluster);
      }
    } catch (error) {
      if (DeletionProtection) {
        await Promise.allSettled(changed.map((cluster) => setDeletionProtection(cluster, false)));
      }
      throw error;
    }
    return undefined;
  },
});
