import { tenantPath } from '../api-client.ts';
import type { Command } from '../command.ts';
import { bytesText, shownJson } from '../shown-text.ts';
import { fields, LISTING_FLAGS, minute, showList } from '../table.ts';

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
  flags: LISTING_FLAGS,
  summary: 'all tenants and where they live',
  async run({ flags }, { api, screen }) {
    const found = await (await api()).list<Tenant>('/tenants');
    found.sort((a, b) => (a.slug < b.slug ? -1 : 1));
    showList(screen, flags, found, {
      titles: ['slug', 'name', 'tier', 'model', 'cell', 'residency', 'status'],
      rowOf: (one) => [
        one.slug,
        one.name,
        one.tier,
        one.isolationModel,
        one.cellId,
        one.dataResidency,
        one.status,
      ],
    });
    return true;
  },
};

export const tenant: Command = {
  name: 'tenant',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'everything the registry knows of one tenant',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await (await api()).get<object>(tenantPath(slug));
    for (const line of flags.has('json') ? [shownJson(found)] : fields(found)) screen.line(line);
    return true;
  },
};

export const suspend: Command = {
  name: 'suspend',
  words: 'SLUG',
  summary: 'refuses every request of a tenant until it is resumed',
  run: async ({ words: [slug = ''] }, { api, screen }) => {
    await (await api()).patch(tenantPath(slug), { status: 'suspended' });
    screen.line(`${slug} is suspended`);
    return true;
  },
};

export const resume: Command = {
  name: 'resume',
  words: 'SLUG',
  summary: 'serves a suspended tenant again',
  run: async ({ words: [slug = ''] }, { api, screen }) => {
    await (await api()).patch(tenantPath(slug), { status: 'active' });
    screen.line(`${slug} is active`);
    return true;
  },
};

interface User {
  userId: string;
  email: string;
  role: string;
  isActive: boolean;
  createdAt: string;
  lastLoginAt: string | null;
}

export const users: Command = {
  name: 'users',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'who may sign in to a tenant',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await (await api()).list<User>(`${tenantPath(slug)}/users`);
    showList(screen, flags, found, {
      titles: ['email', 'role', 'active', 'since', 'last sign-in', 'user'],
      rowOf: (one) => [
        one.email,
        one.role,
        one.isActive ? 'yes' : 'no',
        minute(one.createdAt),
        minute(one.lastLoginAt),
        one.userId,
      ],
    });
    return true;
  },
};

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
