/**
 * Slugs that no tenant may have: `{slug}.domain` would be a host of the platform itself, or be taken for one. The keys of
 * the regions are among them, because a region's API may have its key as host name.
 */
const PLATFORM_SLUGS: ReadonlySet<string> = new Set([
  ...['operator', 'www', 'api', 'admin', 'app', 'console', 'docs', 'status', 'health', 'auth', 'mail'],
  ...['us', 'eu', 'apac'],
]);

export const isPlatformSlug = (slug: string): boolean => PLATFORM_SLUGS.has(slug);
