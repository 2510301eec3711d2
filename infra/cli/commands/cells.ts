import type { Command } from '../command.ts';
import { LISTING_FLAGS, showList } from '../table.ts';

interface Cell {
  cellId: string;
  region: string;
  dataResidency: string;
  status: string;
  sharedTenants: number;
  schemaTenants: number;
  maxSchemaTenants: number;
}

export const cells: Command = {
  name: 'cells',
  words: '',
  flags: LISTING_FLAGS,
  summary: 'all cells and how full they are',
  async run({ flags }, { api, screen }) {
    const { items } = await (await api()).get<{ items: Cell[] }>('/cells');
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

/** Schemas are what a cell runs out of: its proxy takes so many secrets. A cell that takes none is full. */
function fillOf({ schemaTenants, maxSchemaTenants }: Cell): string {
  const share = maxSchemaTenants === 0 ? 1 : schemaTenants / maxSchemaTenants;
  return `${Math.floor(share * 100)} %`;
}
