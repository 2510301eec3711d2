import * as z from 'zod/mini';
import { optionalText, requiredText, uuid } from '../../http/input-schemas.ts';
import { resourceRoutes } from '../../http/resource-routes.ts';
import { tenantRoute } from '../../http/tenant-api.ts';
import { roles } from '../../tenant-data/roles.ts';

const roleName = requiredText(255);
const requiredSkill = z.strictObject({ skillId: uuid, minProficiency: requiredText(50) });
const optional = {
  roleLevel: optionalText(100),
  description: optionalText(10_000),
  department: optionalText(255),
  requiredSkills: z.nullish(
    z.array(requiredSkill, 'must be a list').check(
      z.maxLength(500, 'must have at most 500 entries'),
      z.refine(
        (required) => new Set(required.map(({ skillId }) => skillId)).size === required.length,
        'must not have a skill twice',
      ),
    ),
  ),
};

export const roleRoutes = resourceRoutes({
  store: roles,
  filters: { department: requiredText(255), roleLevel: requiredText(100) },
  create: { roleName, ...optional },
  update: { roleName: z.optional(roleName), ...optional },
  write: 'admin',
});

const read = tenantRoute(
  'viewer',
  { params: z.object({ employeeId: uuid }), query: z.strictObject({ roleId: uuid }) },
  async ({ tenant, params, query }) => {
    const { gapReport } = await import('../../tenant-data/role-gaps.ts');
    return { status: 200, body: await gapReport(tenant, params.employeeId, query.roleId) };
  },
);

/** What an employee lacks for a role. */
export const gapRoutes = { read };
