import { bytesText } from '../amounts.ts';
import { tenantPath } from '../api-paths.ts';
import type { Command } from '../command.ts';
import { LISTING_FLAGS, showList } from '../listing.ts';

interface UsageSample {
  sampledOn: string;
  activeUsers: number;
  activeEmployees: number;
  storageBytes?: number | null;
  rowOperations?: number | null;
  monthlyRevenue?: number | null;
}

export const usage: Command = {
  name: 'usage',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'daily figures of a tenant',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const samples = await (await api()).list<UsageSample>(`${tenantPath(slug)}/usage`);
    showList(screen, flags, samples, {
      titles: ['day', 'users', 'employees', 'storage', 'rows written', 'monthly revenue'],
      rowOf: (one) => [
        one.sampledOn,
        one.activeUsers,
        one.activeEmployees,
        typeof one.storageBytes === 'number' ? bytesText(one.storageBytes) : null,
        one.rowOperations,
        one.monthlyRevenue,
      ],
    });
    return true;
  },
};
