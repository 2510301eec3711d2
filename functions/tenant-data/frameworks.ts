import { sql } from 'kysely';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import { ResourceConflict } from '../resources/errors.ts';
import { resource } from './resource.ts';
import type { ResourceRules } from './resource-rules.ts';
import { ResourceStore } from './resource-store.ts';

const TAKEN = 'Another framework has this name and version.';

/** A unique index holds the rule; tables that a rollout has not reached lack it. */
const frameworkRules: ResourceRules = {
  concerns: (patch) => 'framework_name' in patch || 'version' in patch,
  async check(transaction, { key, values, current }) {
    const { framework_name: name, version = null } = { ...current, ...values };
    const find = sql`SELECT 1 AS found FROM skills_frameworks
      WHERE framework_name = ${name} AND version IS NOT DISTINCT FROM ${version}::text
        AND framework_id <> ${key.framework_id}::uuid`;
    if ((await transaction.query(tenantStatement(find))).length > 0) throw new ResourceConflict(TAKEN);
    return undefined;
  },
};

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
    conflict: TAKEN,
  }),
  frameworkRules,
);
