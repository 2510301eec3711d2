import * as z from 'zod/mini';
import { idempotencyKeyOf } from '../../http/api-event.ts';
import { document, flag, optionalText, requiredText } from '../../http/input-schemas.ts';
import { requireRoom, resourceRoutes } from '../../http/resource-routes.ts';
import { tenantRoute } from '../../http/tenant-api.ts';
import { frameworks } from '../../tenant-data/frameworks.ts';
import { importedSkill } from './skill-routes.ts';

const frameworkName = requiredText(255);
const frameworkType = z.enum(['SFIA', 'O*NET', 'custom']);
const isActive = z.optional(z.boolean('must be true or false'));
const content = {
  frameworkType: z.nullish(frameworkType),
  description: optionalText(10_000),
  frameworkData: z.nullish(document),
};
const optional = { ...content, version: optionalText(50), isActive };

const framework = resourceRoutes({
  store: frameworks,
  filters: { frameworkName, frameworkType, isActive: flag },
  create: { frameworkName, ...optional },
  update: { frameworkName: z.optional(frameworkName), ...optional },
  write: 'admin',
});

const imported = z.strictObject({
  frameworkName,
  version: requiredText(50),
  ...content,
  isActive,
  skills: z
    .array(importedSkill, 'must be a list')
    .check(
      z.refine(
        (skills) => new Set(skills.map(({ skillName }) => skillName)).size === skills.length,
        'must not have two skills with the same name',
      ),
    ),
});

const importWhole = tenantRoute(
  'admin',
  { body: imported },
  async ({ tenant, actor, body: input, facts }) => {
    requireRoom(tenant);
    // Rare, and large: loaded on first use.
    const { importFramework } = await import('../../tenant-data/import-framework.ts');
    const key = idempotencyKeyOf(facts);
    const { answer, replayed } = await importFramework(tenant, actor, {
      input,
      locate: (frameworkId) => `/frameworks/${frameworkId}`,
      idempotency:
        key === undefined ? undefined : { key, method: facts.method, path: facts.path, body: input },
    });
    const isNew = answer.status === 201;
    return {
      status: isNew ? 201 : 200,
      body: answer.body,
      etag: answer.etag,
      replayed,
      ...(isNew ? { location: answer.location } : {}),
    };
  },
);

export const frameworkRoutes = { ...framework, importWhole };
