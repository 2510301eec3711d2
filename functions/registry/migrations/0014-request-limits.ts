/**
 * Registry schema version 14: a tenant's own limits of requests. null: the tier's (`tierTerms`).
 */
export const requestLimitColumns: readonly string[] = [
  `ALTER TABLE tenants ADD COLUMN request_rate integer CHECK (request_rate BETWEEN 1 AND 100000),
     ADD COLUMN request_burst integer CHECK (request_burst BETWEEN 1 AND 100000)`,
];
