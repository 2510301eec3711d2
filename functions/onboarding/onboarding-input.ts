import * as z from 'zod';
import { COMPLIANCE_REQUIREMENTS } from '../contracts/compliance.ts';
import { DATABASE_SIZES } from '../contracts/database-size.ts';
import { isEmailAddress } from '../resources/email-address.ts';
import { jsonPointer, readInput } from '../resources/read-input.ts';
import { InvalidOnboardingInput } from './errors.ts';

/** PostgreSQL stores neither NUL nor unpaired surrogates; the Data API would answer with an unclear error. */
const storable = (value: string): boolean => !value.includes('\0') && value.isWellFormed();

const MAX_NAME = 255;
/** A tenant's name without surrounding blanks; its length is counted as PostgreSQL counts it. */
export const tenantName = z
  .string('must be a string')
  .refine(storable, 'must not contain NUL or malformed characters')
  .trim()
  .refine((name) => name !== '', { error: 'must not be blank', params: { minLength: 1, pattern: '\\S' } })
  .refine((name) => [...name].length <= MAX_NAME, {
    error: `must be at most ${MAX_NAME} characters`,
    params: { maxLength: MAX_NAME },
  });

const email = z
  .string('must be a string')
  .refine(isEmailAddress, { error: 'must be an e-mail address', params: { format: 'email', maxLength: 255 } })
  .transform((value) => value.toLowerCase());

/** Compliance requirements of the tenant, each once. */
export const complianceRequirements = z
  .array(
    z
      .string('must be a string')
      .transform((value) => value.toLowerCase())
      .pipe(z.enum(COMPLIANCE_REQUIREMENTS, `must be one of ${COMPLIANCE_REQUIREMENTS.join(', ')}`)),
    'must be a list',
  )
  .max(20, 'must have at most 20 entries')
  .transform((values) => [...new Set(values)]);

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

/** The body of `POST /tenants`. */
export const onboardingInput = z.strictObject(
  {
    name: tenantName,
    slug,
    adminEmail: email,
    tier: z.enum(['starter', 'business', 'enterprise']).default('starter'),
    databaseSize: z.enum(DATABASE_SIZES, `must be one of ${DATABASE_SIZES.join(', ')}`).optional(),
    dataResidency: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,49}$/, 'must be a region key such as "us"')
      .optional(),
    complianceRequirements: complianceRequirements.default([]),
    billingEmail: email.nullish().transform((value) => value ?? null),
  },
  'must be a JSON object',
);

/** A valid input. `dataResidency` is undefined for the home region, `databaseSize` for the usual size or none. E-mail addresses are in lower case. */
export type OnboardingInput = z.output<typeof onboardingInput>;

/**
 * Checks the body of `POST /tenants`, which is also the input of `tenant-onboarding`. It does not check whether Strata
 * serves the residency: `registerTenant` does, with the registry.
 * @throws {InvalidOnboardingInput} naming every wrong field.
 */
export function validateOnboardingInput(input: unknown): OnboardingInput {
  const { data, issues } = readInput(onboardingInput, input);
  if (!issues) {
    if (data.databaseSize === undefined || data.tier === 'enterprise') return data;
    const message = 'only the enterprise tier has a database of its own';
    throw new InvalidOnboardingInput([{ path: 'databaseSize', pointer: '/databaseSize', message }]);
  }
  throw new InvalidOnboardingInput(
    issues.map(({ path, message }) => ({ path: path.join('.'), pointer: jsonPointer(path), message })),
  );
}

/**
 * Slugs that no tenant may have, because `{slug}.domain` is, or looks like, a host of the platform. They include the
 * keys of the regions: a region's API may have its key as host name.
 */
const PLATFORM_SLUGS: ReadonlySet<string> = new Set([
  'operator',
  'www',
  'api',
  'admin',
  'app',
  'console',
  'docs',
  'status',
  'health',
  'auth',
  'mail',
  'us',
  'eu',
  'apac',
]);

export const isPlatformSlug = (slug: string): boolean => PLATFORM_SLUGS.has(slug);
