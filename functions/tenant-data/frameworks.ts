import { resource } from './resource.ts';
import { ResourceStore } from './resource-store.ts';

export const frameworks = new ResourceStore(
  resource<'skills_frameworks'>({
    table: 'skills_frameworks',
    type: 'framework',
    columns: [
      'framework_id',
      'framework_name',
      'framework_type',
      'version',
      'description',
      'framework_data',
      'is_active',
      'created_at',
      'updated_at',
    ],
    key: ['framework_id'],
    order: ['created_at', 'framework_id'],
    sorts: [{ column: 'framework_name', type: 'text' }],
    searched: ['framework_name', 'description'],
    documents: ['framework_data'],
    hasUpdatedAt: true,
    conflict: 'Another framework has this name and version.',
  }),
);
