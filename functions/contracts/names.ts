/**
 * Names that the templates give and the functions use, each said once. All are the same in every region but where a
 * region is part of them.
 */

/** Database of every data cluster. */
export const DATA_DATABASE = 'strata';

/** What the token of a platform operator carries. */
export const OPERATOR_SCOPE = 'strata/operator';

/** State machines, as operators know them. */
export const STATE_MACHINES = {
  onboarding: 'tenant-onboarding',
  move: 'tenant-move',
  moveCleanup: 'tenant-move-cleanup',
  rollout: 'schema-rollout',
  partitionUpkeep: 'partition-upkeep',
  backup: 'tenant-backup',
  fleetBackup: 'fleet-backup',
} as const;

/** The function that counts what a tenant has, in the region of that key. */
export const surveyFunctionName = (regionKey: string): string => `strata-${regionKey}-move-survey`;
