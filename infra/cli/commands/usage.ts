import { bytesText } from '../amounts.ts';
import { tenantPath } from '../api-paths.ts';
import type { Command } from '../command.ts';
import { table } from '../table.ts';

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
  summary: 'daily figures of a tenant',
  async run({ words: [slug = ''] }, { api, screen }) {
    const samples = await (await api()).list<UsageSample>(`${tenantPath(slug)}/usage`);
    const rows = samples.map((one) => [
      one.sampledOn,
      one.activeUsers,
      one.activeEmployees,
      typeof one.storageBytes === 'number' ? bytesText(one.storageBytes) : null,
      one.rowOperations,
      one.monthlyRevenue,
    ]);
    const titles = ['day', 'users', 'employees', 'storage', 'rows written', 'monthly revenue'];
    for (const line of table(titles, rows)) screen.line(line);
    return true;
  },
};
