import { bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { LISTING_FLAGS, showList } from '../table.ts';

export const cells: Command = {
  name: 'cells',
  words: '',
  flags: LISTING_FLAGS,
  summary: 'all cells and how full they are',
  async run({ flags }, { api, screen }) {
    const { items } = await bodyOf((await api()).operations.GET('/cells'));
    showList(screen, flags, items, {
      titles: ['cell', 'region', 'residency', 'status', 'shared', 'schemas', 'of', 'fill'],
      rowOf: (one) => [
        one.cellId,
        one.region,
        one.dataResidency,
        one.status,
        one.sharedTenants,
        one.schemaTenants,
        one.maxSchemaTenants,
        fillOf(one),
      ],
    });
    return true;
  },
};

/**
 * A cell runs out of schemas first, because its proxy takes a limited number of secrets. A cell that accepts no more is
 * shown as full.
 */
function fillOf({ schemaTenants, maxSchemaTenants }: Schemas['Cell']): string {
  const share = maxSchemaTenants === 0 ? 1 : schemaTenants / maxSchemaTenants;
  return `${Math.floor(share * 100)} %`;
}
