/**
 * Registry schema version 23: `tenants.legal_hold` is the reason why a tenant must not be erased; null without one.
 *
 * The registry itself refuses to make a tenant with a hold `offboarded`, the status in which it is erased. So an earlier
 * release that runs meanwhile, and does not know the column, does not erase it either: its offboarding fails.
 *
 * The reason may name people, so no values of the column are sampled (see 0021).
 */
export const legalHoldColumns: readonly string[] = [
  `ALTER TABLE tenants ADD COLUMN legal_hold varchar(500) CHECK (legal_hold <> '')`,
  `ALTER TABLE tenants ADD CONSTRAINT no_erasure_under_legal_hold CHECK (legal_hold IS NULL OR status <> 'offboarded')`,
  'ALTER TABLE tenants ALTER COLUMN legal_hold SET STATISTICS 0',
];
