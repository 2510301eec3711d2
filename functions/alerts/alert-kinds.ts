/**
 * The table of alerts: what each kind means, what it reads, when it ends, and what an operator does first. The numbers are
 * in `thresholds.ts`, the rules in the files that are named after what they read.
 */

export type Severity = 'warning' | 'critical';

/**
 * What a rule reads; an alert ends only after a run that has read it. `database`: figures of one data database. `tenant`:
 * rows of one tenant. `proxy`: RDS's description of a cell's proxy. `registry`: the registry alone.
 */
export type Source = 'database' | 'tenant' | 'proxy' | 'registry';

interface AlertKindTerms {
  readonly severity: Severity;
  readonly reads: Source;
  /** The condition, and when it ends. */
  readonly condition: string;
  /** What to do first: part of the message. */
  readonly advice: string;
}

export const ALERT_KINDS = {
  'database-size': {
    severity: 'warning',
    reads: 'registry',
    condition: 'A tenant uses 80 % of its storage or more. Ends below 75 %, or with a higher limit.',
    advice: 'Offer the next tier, or raise maxStorageGb (PATCH /tenants/{tenantId}).',
  },
  'connections-exhausted': {
    severity: 'critical',
    reads: 'database',
    condition:
      'A login role uses 90 % of its connections or more, or all roles together of the cluster’s. Ends below 80 %.',
    advice:
      'Find the sessions in pg_stat_activity. One busy tenant: move it (strata move). Many: rebalance the cell (strata cells CELL).',
  },
  'query-degradation': {
    severity: 'warning',
    reads: 'database',
    condition:
      'Statements take three times their usual time or more, and 50 ms at least. Ends below twice the usual time, when the statement is no longer run, or after a day, when the new time becomes the usual one.',
    advice:
      'Compare the plans of the statements in the details (EXPLAIN); look for missing statistics, locks, and a lack of capacity.',
  },
  'move-failed': {
    severity: 'critical',
    reads: 'registry',
    condition:
      'A tenant’s latest move failed, or its execution was ended. Ends when another move of it has begun, or after seven days.',
    advice: 'Read the reason (strata moves SLUG), remove the cause and request the move again.',
  },
  'move-mismatch': {
    severity: 'critical',
    reads: 'registry',
    condition: 'Source and target of a move differ. Ends when the hop is compared again.',
    advice: 'See MoveMismatchAlert in docs/operations.md. Both copies are kept; do not delete either.',
  },
  'restore-failed': {
    severity: 'warning',
    reads: 'registry',
    condition:
      'A tenant’s latest restore failed. Ends when another restore of it has begun, or after seven days.',
    advice: 'Read the reason (strata restores SLUG). The tenant has what it had.',
  },
  'schema-rollout-failed': {
    severity: 'critical',
    reads: 'registry',
    condition: 'The latest schema rollout left a target behind. Ends when a later rollout has reached it.',
    advice: 'Read the target’s reason (strata rollouts), remove the cause and start a rollout.',
  },
  'backup-failed': {
    severity: 'critical',
    reads: 'registry',
    condition: 'A tenant’s latest backup failed. Ends with its next backup that succeeds.',
    advice: 'Back the tenant up at once (strata backup SLUG), then look for the cause in its reason.',
  },
  'backup-overdue': {
    severity: 'critical',
    reads: 'registry',
    condition: 'A tenant has no backup of the last 30 hours. Ends with its next backup that succeeds.',
    advice: 'Back the tenant up at once (strata backup SLUG), then see whether fleet-backup runs daily.',
  },
  'restore-drill-failed': {
    severity: 'critical',
    reads: 'registry',
    condition: 'The latest restore drill of a tenant’s backups failed. Ends with a drill that passes.',
    advice:
      'Back the tenant up at once (strata backup SLUG) and start restore-drills; keep the failed backup.',
  },
  'audit-chain-broken': {
    severity: 'critical',
    reads: 'tenant',
    condition:
      'The latest verification of a tenant’s audit log found an altered, missing or added entry. Ends with a verification that finds it intact.',
    advice: 'See “When a chain is broken” in docs/operations.md.',
  },
  'stuck-fence': {
    severity: 'critical',
    reads: 'database',
    condition:
      'A tenant is fenced beyond the expiry of the fence, so no write has succeeded since. Ends when the fence is lowered.',
    advice:
      'The tenant’s next write clears the fence, and so does recovery (strata tick move-recovery). If it comes back, abort the move.',
  },
  'replication-slot': {
    severity: 'warning',
    reads: 'database',
    condition:
      'A replication slot was lost, or is about to be; it retains 4 GiB of WAL or more; or no move uses it. Ends when none of it is true.',
    advice:
      'A slot of a running move: look at the move. A slot that no move uses: drop it as the owner (pg_drop_replication_slot).',
  },
  'proxy-secrets': {
    severity: 'critical',
    reads: 'proxy',
    condition:
      'A cell’s proxy does not accept secrets that the registry lists, or cannot sign in to its database. Ends when it can.',
    advice: 'Run strata tick proxy-auth and read the log of reconcile-proxy-auth.',
  },
  'work-overdue': {
    severity: 'warning',
    reads: 'registry',
    condition:
      'A move, restore, rollout, backup, export, onboarding, offboarding or rotation has been running for too long. Ends with it.',
    advice:
      'Look at its execution (strata executions); recovery takes up what is dead within five minutes, a credential rotation within ten.',
  },
  'work-failed': {
    severity: 'warning',
    reads: 'registry',
    condition:
      'The latest onboarding, export, offboarding or credential rotation failed. Ends when another one has begun, or after seven days.',
    advice: 'Read its reason and start it again.',
  },
  'events-unpublished': {
    severity: 'warning',
    reads: 'registry',
    condition:
      'Events do not fit their schema, or the bus has refused them 15 times or more. Ends when they are published, or deleted.',
    advice:
      'See “Events do not arrive” in docs/operations.md. Subscribers lack these events, and later ones of the tenants that the bus refuses.',
  },
  'access-refused': {
    severity: 'warning',
    reads: 'tenant',
    condition:
      'One actor was refused 30 times or more within an hour in one tenant (403, 404). Ends when the hour has passed.',
    advice: 'See whether it is a broken client or someone guessing ids; suspend the user if in doubt.',
  },
  'access-operator': {
    severity: 'warning',
    reads: 'tenant',
    condition:
      'An operator made 50 requests for a tenant within an hour, and five times the tenant’s usual day of operators’ requests. Ends when the hour has passed.',
    advice: 'Ask the operator; the tenant’s audit log names each request.',
  },
  'access-volume': {
    severity: 'warning',
    reads: 'tenant',
    condition:
      'One actor made 500 changes or more within a day, and five times what all of the tenant’s actors together make on a usual day. Ends when the day has passed.',
    advice: 'Ask the tenant’s administrator whether it is an import; otherwise suspend the user.',
  },
  'access-reading': {
    severity: 'warning',
    reads: 'registry',
    condition:
      'A tenant’s requests were answered with 100 MB or more within an hour, and with five times what they are answered with on a usual day. Ends three hours after that hour began.',
    advice:
      'See in the log of requests which routes were read (“Metrics and logs” in docs/operations.md), and ask the tenant’s administrator; otherwise suspend the tenant.',
  },
  'access-encrypted': {
    severity: 'warning',
    reads: 'tenant',
    condition:
      'An operator opened a tenant that has encrypted fields for the first time. Ends a day after that access.',
    advice: 'Check that there is a reason for it; the tenant’s audit log names each request.',
  },
  'cell-over-limits': {
    severity: 'warning',
    reads: 'database',
    condition:
      'A cell has 90 % of its schemas, 95 % of its proxy’s secrets, or 80 % of its bytes, connections or replication slots. Ends below that.',
    advice: 'Read the plan (strata cells CELL) and add a cell, or move tenants.',
  },
  'database-unreachable': {
    severity: 'critical',
    reads: 'registry',
    condition: 'A data database could not be surveyed as its owner. Ends when it can.',
    advice:
      'Look at the cluster’s state in RDS and at the log of survey-alerts. Its other alerts keep their state.',
  },
} as const satisfies Record<string, AlertKindTerms>;

export type AlertKind = keyof typeof ALERT_KINDS;
