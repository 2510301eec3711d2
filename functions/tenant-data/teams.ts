import { resource } from './resource.ts';
import { ResourceStore } from './resource-store.ts';

export const teams = new ResourceStore(
  resource<'teams'>({
    table: 'teams',
    type: 'team',
    columns: [
      'team_id',
      'team_name',
      'description',
      'parent_team_id',
      'manager_id',
      'created_at',
      'updated_at',
    ],
    key: ['team_id'],
    order: ['created_at', 'team_id'],
    sorts: [{ column: 'team_name', type: 'text' }],
    searched: ['team_name', 'description'],
    documents: [],
    hasUpdatedAt: true,
    hierarchy: 'parent_team_id',
  }),
);

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
