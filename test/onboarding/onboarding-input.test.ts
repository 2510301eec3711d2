import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InvalidOnboardingInput } from '../../functions/onboarding/errors.ts';
import { validateOnboardingInput } from '../../functions/onboarding/onboarding-input.ts';
import { knownRegions } from '../../infra/config.ts';

const valid = { name: 'Initech', slug: 'initech', adminEmail: 'Admin@Initech.test' };

/** The fields that validation complains about; none when the input is accepted. */
function refusedFields(input: unknown): string[] {
  try {
    validateOnboardingInput(input);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidOnboardingInput);
    return (error as InvalidOnboardingInput).issues.map((issue) => issue.path);
  }
}

test('the smallest input becomes a starter tenant, with addresses in lower case', () => {
  expect(validateOnboardingInput(valid)).toEqual({
    name: 'Initech',
    slug: 'initech',
    adminEmail: 'admin@initech.test',
    tier: 'starter',
    complianceRequirements: [],
    billingEmail: null,
  });
});

test('a full input is kept, with duplicate requirements once', () => {
  const full = {
    ...valid,
    tier: 'enterprise',
    dataResidency: 'eu',
    billingEmail: 'BILL@initech.test',
    complianceRequirements: ['gdpr', 'SOC2', 'gdpr'],
  };
  expect(validateOnboardingInput(full)).toMatchObject({
    tier: 'enterprise',
    dataResidency: 'eu',
    billingEmail: 'bill@initech.test',
    complianceRequirements: ['gdpr', 'soc2'],
  });
});

test.each<readonly [string, object]>([
  ['name', { name: '' }],
  ['name', { name: '   ' }],
  ['name', { name: 'x'.repeat(256) }],
  ['name', { name: 'a\0b' }],
  ['name', { name: 'a\ud800' }],
  ['name', { name: 7 }],
  ['slug', { slug: '-initech' }],
  ['slug', { slug: 'initech-' }],
  ['slug', { slug: 'Initech' }],
  ['slug', { slug: 'a'.repeat(64) }],
  ['slug', { slug: 'a\n' }],
  ['slug', { slug: '0190b7a4-0000-7000-8000-000000000000' }],
  ['adminEmail', { adminEmail: 'nobody' }],
  ['adminEmail', { adminEmail: undefined }],
  ['adminEmail', { adminEmail: `${'a'.repeat(250)}@b.test` }],
  ['adminEmail', { adminEmail: 'a\0@b.test' }],
  ['billingEmail', { billingEmail: 'nobody' }],
  ['tier', { tier: 'gold' }],
  ['tier', { tier: null }],
  ['dataResidency', { dataResidency: 'US East' }],
  ['complianceRequirements', { complianceRequirements: 'soc2' }],
  ['complianceRequirements', { complianceRequirements: Array.from({ length: 21 }, () => 'soc2') }],
  ['complianceRequirements.0', { complianceRequirements: ['not a name'] }],
  ['unexpected', { unexpected: 1 }],
  ['complianceRequirements.1', { complianceRequirements: ['soc2', 1] }],
  ['complianceRequirements.0', { complianceRequirements: ['constructor'] }],
  ['complianceRequirements.0', { complianceRequirements: ['pci-dss'] }],
  ...['operator', 'www', 'api', 'admin', 'app', 'console', 'docs', 'status', 'health', 'auth', 'mail'].map(
    (slug) => ['slug', { slug }] as const,
  ),
  ...Object.keys(knownRegions).map((slug) => ['slug', { slug }] as const),
])('%s is refused in %j', (field, change) => {
  expect(refusedFields({ ...valid, ...change })).toEqual([field]);
});

test.each([null, [], 'initech', 7, undefined])('%j is refused as a whole', (input) => {
  expect(refusedFields(input)).toContain('');
});

test('an input read from JSON cannot bring a prototype along', () => {
  expect(
    refusedFields(JSON.parse('{"name":"a","slug":"a","adminEmail":"a@b.test","__proto__":{"tier":"x"}}')),
  ).toEqual(['__proto__']);
});

test('whatever comes in is either accepted in normal form or refused by its own error', () => {
  fc.assert(
    fc.property(
      fc.record(
        {
          name: fc.anything(),
          slug: fc.oneof(fc.anything(), fc.stringMatching(/^[a-z0-9-]{1,70}$/)),
          adminEmail: fc.oneof(fc.anything(), fc.emailAddress()),
          tier: fc.anything(),
          complianceRequirements: fc.anything(),
        },
        { requiredKeys: [] },
      ),
      (input) => {
        if (refusedFields(input).length > 0) return;
        const accepted = validateOnboardingInput(input);
        // Normal form: what was accepted is accepted again, unchanged.
        expect(validateOnboardingInput(accepted)).toEqual(accepted);
      },
    ),
    { numRuns: 300 },
  );
});
