/** When tenants are offboarded, by request and because their subscriptions end. */
export interface OffboardingPolicy {
  /** Minutes between the final export and the erasure, in which the tenant is suspended and it can be cancelled. */
  readonly graceMinutes: number;
  /** Days before the end of a subscription at which it is announced. Empty: it is not. */
  readonly noticeDays: readonly number[];
  /** Days for which a tenant is served after the end of its subscription. Then it is suspended. */
  readonly subscriptionGraceDays: number;
  /** Days of that suspension. Then the tenant is offboarded. */
  readonly suspendedDays: number;
}

/** What the installation keeps beside the registry and the clusters, in days. */
export interface Retention {
  /** Of logs. */
  readonly logRetentionDays: number;
  /** Of events in the archive of the bus; absent: there is none. */
  readonly eventArchiveDays?: number;
  /** Of snapshots of clusters by AWS Backup; absent: there are none. */
  readonly vaultDays?: number;
}

/** Step Functions keeps the history of an execution, and CloudFormation the events of a deleted stack, for so many days. */
export const WORKFLOW_HISTORY_DAYS = 90;

/**
 * Days for which the account of a person who has no tenant any more is kept, disabled. Who was removed by mistake, or whose
 * tenant comes back to the region, signs in as before; afterwards nothing remembers the address.
 */
export const FORMER_ACCOUNT_DAYS = 7;

/** Days until KMS deletes the key of a tenant: the least that it takes. */
export const KEY_DELETION_DAYS = 7;
