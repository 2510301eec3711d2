import * as z from 'zod/mini';
import { pageOf, pageParameters, requiredText, searchText, uuid } from '../../http/input-schemas.ts';
import { tenantRoute } from '../../http/tenant-api.ts';
import { listSkillsSummary, summarySorts } from '../../tenant-data/skills-summary.ts';

const AT_LEAST_RULE = 'must be a number from 1 to 999999999';

const query = z.strictObject({
  ...pageParameters,
  sort: z.optional(z.enum(summarySorts)),
  q: searchText,
  skillId: z.optional(uuid),
  skillCategory: z.optional(requiredText(100)),
  frameworkId: z.optional(uuid),
  minEmployees: z.optional(
    z.pipe(
      z.string().check(
        z.refine((text) => /^[1-9]\d{0,8}$/.test(text), {
          error: AT_LEAST_RULE,
          params: { type: 'integer', minimum: 1, maximum: 999_999_999 },
        }),
      ),
      z.transform(Number),
    ),
  ),
});

const skillsSummary = tenantRoute('viewer', { query }, async ({ tenant, query: given }) => {
  const { limit, cursor, q: search, ...filter } = given;
  return {
    status: 200,
    body: await listSkillsSummary(tenant, { ...filter, search }, pageOf({ limit, cursor })),
  };
});

export const analyticsRoutes = { skillsSummary };
