import { tenantPath } from '../api-paths.ts';
import type { Command } from '../command.ts';
import { fields, table } from '../table.ts';

interface Tenant {
  slug: string;
  name: string;
  tier: string;
  isolationModel: string;
  cellId?: string | null;
  dataResidency?: string;
  status: string;
}

export const tenants: Command = {
  name: 'tenants',
  words: '',
  summary: 'all tenants and where they live',
  async run(_given, { api, screen }) {
    const found = await (await api()).list<Tenant>('/tenants');
    const rows = found
      .sort((a, b) => (a.slug < b.slug ? -1 : 1))
      .map((one) => [
        one.slug,
        one.name,
        one.tier,
        one.isolationModel,
        one.cellId,
        one.dataResidency,
        one.status,
      ]);
    for (const line of table(['slug', 'name', 'tier', 'model', 'cell', 'residency', 'status'], rows)) {
      screen.line(line);
    }
    return true;
  },
};

export const tenant: Command = {
  name: 'tenant',
  words: 'SLUG',
  summary: 'everything the registry knows of one tenant',
  async run({ words: [slug = ''] }, { api, screen }) {
    for (const line of fields(await (await api()).get<object>(tenantPath(slug)))) screen.line(line);
    return true;
  },
};
