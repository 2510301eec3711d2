/**
 * Feature flags of a tenant (`tenants.features`): JSON values by name, which operators set. A container learns of a change
 * within two seconds.
 */
export type FeatureFlags = Readonly<Record<string, unknown>>;

/** True when the flag is exactly `true`. A handler uses it as `isEnabled(request.tenant.features, 'name')`. */
export function isEnabled(features: FeatureFlags, name: string): boolean {
  return Object.hasOwn(features, name) && features[name] === true;
}
