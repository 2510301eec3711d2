/** The sizes of dedicated databases. infra/config.ts has the instances of each, in each region. */
export const DATABASE_SIZES = ['small', 'medium', 'large'] as const;
export type DatabaseSize = (typeof DATABASE_SIZES)[number];

/** Of a tenant that did not ask for a size, and of every dedicated database from before there were sizes. */
export const DEFAULT_DATABASE_SIZE: DatabaseSize = 'medium';
