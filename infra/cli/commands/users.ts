import { tenantPath } from '../api-paths.ts';
import type { Command } from '../command.ts';
import { LISTING_FLAGS, minute, showList } from '../listing.ts';

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
