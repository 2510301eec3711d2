import * as z from 'zod';
import { COMPLIANCE_REQUIREMENTS } from '../placement/compliance.ts';
import { InvalidOnboardingInput } from './errors.ts';
import { isPlatformSlug } from './platform-slugs.ts';

/** PostgreSQL stores neither NUL nor half a surrogate pair; the Data API would answer with an obscure error. */
const storable = (value: string): boolean => !value.includes('\0') && value.isWellFormed();

const text = (max: number) =>
  z.string().refine(storable, 'must not contain NUL or malformed characters').trim().min(1).max(max);

const email = z
  .string()
  .max(255)
  .refine(storable, 'must not contain NUL or malformed characters')
  .transform((value) => value.toLowerCase())
  .pipe(z.email('must be an e-mail address'));

const uuidShaped = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const slug = z
  .string()
  .regex(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    'must be 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit',
  )
  // Paths and headers take an id or a slug: a slug that looks like an id could name another tenant.
  .refine((value) => !uuidShaped.test(value), 'must not have the form of a tenant id')
  .refine((value) => !isPlatformSlug(value), 'is reserved for the platform');

const schema = z.strictObject(
  {
    name: text(255),
    slug,
    adminEmail: email,
    tier: z.enum(['starter', 'business', 'enterprise']).default('starter'),
    dataResidency: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,49}$/, 'must be a region key such as "us"')
      .optional(),
    complianceRequirements: z
      .array(
        z
          .string()
          .transform((value) => value.toLowerCase())
          .pipe(z.enum(COMPLIANCE_REQUIREMENTS, `must be one of ${COMPLIANCE_REQUIREMENTS.join(', ')}`)),
      )
      .max(20)
      .transform((values) => [...new Set(values)])
      .default([]),
    billingEmail: email.nullish().transform((value) => value ?? null),
  },
  'must be a JSON object',
);

/** A valid input; `dataResidency` is undefined where the home region is meant. E-mail addresses are lower-case. */
export type OnboardingInput = z.output<typeof schema>;

/**
 * Checks the body of `POST /tenants`, which is the input of `tenant-onboarding` too. Whether the residency is one
 * that Strata serves is known to the registry only: `registerTenant` checks that.
 * @throws {InvalidOnboardingInput} naming every field that is wrong.
 */
export function validateOnboardingInput(input: unknown): OnboardingInput {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new InvalidOnboardingInput(
    result.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ path: [...issue.path, key].join('.'), message: 'is not known' }))
        : [{ path: issue.path.join('.'), message: issue.message }],
    ),
  );
}
