import { resource } from './resource.ts';
import { ResourceStore } from './resource-store.ts';

export const teamMembers = new ResourceStore(
  resource<'team_members'>({
    table: 'team_members',
    type: 'team_member',
    columns: ['team_id', 'employee_id', 'role', 'joined_at'],
    key: ['team_id', 'employee_id'],
    order: ['joined_at', 'employee_id'],
    searched: [],
    documents: [],
    hasUpdatedAt: false,
    parentTable: 'teams',
  }),
);
