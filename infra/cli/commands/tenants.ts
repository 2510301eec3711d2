import { type ApiClient, bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../errors.ts';
import { abridged, shownJson } from '../shown-text.ts';
import { fields, LISTING_FLAGS, minute, showList } from '../table.ts';

/** Characters of a name in the list; names may have 255, and one of these would widen every line. */
const NAME_IN_LIST = 40;

export const tenants: Command = {
  name: 'tenants',
  words: '',
  flags: LISTING_FLAGS,
  summary: 'all tenants and their places',
  async run({ flags }, { api, screen }) {
    const found = await (await api()).all('/tenants');
    found.sort((a, b) => (a.slug < b.slug ? -1 : 1));
    showList(screen, flags, found, {
      titles: ['slug', 'name', 'tier', 'model', 'cell', 'residency', 'status'],
      rowOf: (one) => [
        one.slug,
        abridged(one.name, NAME_IN_LIST),
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
  summary: 'everything that the registry has about one tenant',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const client = await api();
    const found = await bodyOf(
      client.operations.GET('/tenants/{tenantId}', { params: { path: { tenantId: slug } } }),
    );
    for (const line of flags.has('json') ? [shownJson(found)] : fields(found)) screen.line(line);
    return true;
  },
};

export const suspend: Command = {
  name: 'suspend',
  words: 'SLUG',
  summary: 'refuses every request of a tenant until it is resumed',
  run: async ({ words: [slug = ''] }, { api, screen }) => {
    await change(await api(), slug, { status: 'suspended' });
    screen.line(`${slug} is suspended`);
    return true;
  },
};

export const resume: Command = {
  name: 'resume',
  words: 'SLUG',
  summary: 'serves a suspended tenant again',
  run: async ({ words: [slug = ''] }, { api, screen }) => {
    await change(await api(), slug, { status: 'active' });
    screen.line(`${slug} is active`);
    return true;
  },
};

export const hold: Command = {
  name: 'hold',
  words: 'SLUG',
  options: { reason: 'TEXT' },
  summary: 'sets a legal hold: the tenant is not erased before it is released; --reason is needed',
  run: async ({ words: [slug = ''], options }, { api, screen }) => {
    const legalHold = options.get('reason');
    if (legalHold === undefined) throw new UsageError('--reason TEXT says why the tenant must not be erased');
    await change(await api(), slug, { legalHold });
    screen.line(`${slug} has a legal hold`);
    return true;
  },
};

export const release: Command = {
  name: 'release',
  words: 'SLUG',
  summary: 'removes the legal hold of a tenant; an offboarding that waited for it goes on',
  run: async ({ words: [slug = ''] }, { api, screen }) => {
    await change(await api(), slug, { legalHold: null });
    screen.line(`${slug} has no legal hold`);
    return true;
  },
};

async function change(api: ApiClient, slug: string, body: Schemas['TenantsUpdateBody']): Promise<void> {
  await api.operations.PATCH('/tenants/{tenantId}', { params: { path: { tenantId: slug } }, body });
}

export const users: Command = {
  name: 'users',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'users who may sign in to a tenant',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await (await api()).all('/tenants/{tenantId}/users', { tenantId: slug });
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
