import pg from 'pg';
import { expect, test } from 'vitest';
import { PlacementConflict, TenantSchemaInUse } from '../../functions/database/errors.ts';
import { tenantSchemaName } from '../../functions/database/provisioning/tenant-schema.ts';
import { ProxyBusy } from '../../functions/onboarding/errors.ts';
import { reasonOf } from '../../functions/onboarding/fail-tenant.ts';
import { tenantRoleName } from '../../functions/placement/tenant-names.ts';
import { RegistryError } from '../../functions/registry/errors.ts';
import { toLifecycleError } from '../../functions/tasks/onboarding-task.ts';

const internal = 'An internal error stopped onboarding.';
const cause = (errorMessage: string) =>
  JSON.stringify({ errorType: 'db.internal', errorMessage, trace: ['at /var/task'] });

test.each([
  ['TenantSecretInvalid', cause('Not usable.'), 'Not usable.'],
  ['DedicatedStackFailed', cause('x'.repeat(600)), 'x'.repeat(500)],
  ['DedicatedStackFailed', 'not JSON: host db.internal', internal],
  ['DedicatedStackFailed', undefined, internal],
  ['error', cause('relation "tenants" at db.internal'), internal],
  ['Runtime.ExitError', cause('RequestId: 1 Error: Runtime exited'), internal],
  ['constructor', cause('not a class of ours'), internal],
  ['States.Timeout', undefined, 'A phase of the onboarding took too long.'],
])('the reason for %s is fit for a client', (name, text, reason) => {
  expect(reasonOf({ Error: name, Cause: text })).toBe(reason);
});

const database = (code: string) =>
  Object.assign(new pg.DatabaseError('text', 4, 'error'), { code, severity: 'ERROR' });
const named = (name: string, more = {}) => Object.assign(new Error(name), { name, ...more });

test.each([
  ['a typed error', new ProxyBusy(), 'ProxyBusy'],
  [
    'a refused connection',
    Object.assign(new Error('db.internal'), { code: 'ECONNREFUSED' }),
    'DependencyUnavailable',
  ],
  ['a server that starts', database('57P03'), 'DependencyUnavailable'],
  ['a deadlock in the registry', new RegistryError('db.internal', '40P01'), 'DependencyUnavailable'],
  ['throttling', named('ThrottlingException'), 'DependencyUnavailable'],
  ['a fault of AWS', named('Whatever', { $metadata: { httpStatusCode: 503 } }), 'DependencyUnavailable'],
  ['a request that hung', named('TimeoutError'), 'DependencyUnavailable'],
  ['a wrong password', database('28P01'), 'OnboardingStepFailed'],
  ['a violated constraint', new RegistryError('db.internal', '23505'), 'OnboardingStepFailed'],
  [
    'a denied permission',
    named('AccessDeniedException', { $metadata: { httpStatusCode: 400 } }),
    'OnboardingStepFailed',
  ],
  ['another placement', new PlacementConflict(), 'PlacementConflict'],
  ["another tenant's schema", new TenantSchemaInUse(), 'PlacementConflict'],
  ['no error at all', 'a string', 'OnboardingStepFailed'],
])('%s leaves a task under a name that the workflow knows', (_what, error, name) => {
  const typed = toLifecycleError(error);
  expect(typed.name).toBe(name);
  expect(typed.message).not.toContain('db.internal');
});

test('the names that registration plans are those that the schema gets', () => {
  const tenantId = '0190b7a4-0000-7000-8000-000000000000';
  expect(tenantRoleName(tenantId, 3)).toBe(tenantSchemaName(tenantId, 3));
});
