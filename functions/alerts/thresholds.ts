/** The numbers of the rules. Times are in seconds, sizes in bytes, shares of 1. Tests use others. */
export interface AlertThresholds {
  /** Of the tier's storage, or the tenant's own. */
  readonly storage: Hysteresis;
  readonly connections: Hysteresis;
  readonly queries: {
    /** Mean time of a window, as a multiple of the usual mean. */
    readonly factor: Hysteresis;
    /** A faster statement never degrades, in milliseconds. */
    readonly atLeastMs: number;
    /** Calls that make a window; fewer calls are added to the next one. */
    readonly callsOfWindow: number;
    /** Calls without which a statement has no usual time yet. */
    readonly callsOfBaseline: number;
    /** After which a call weighs a third in the usual time. */
    readonly memorySeconds: number;
    /** After which a degraded time is the usual one. */
    readonly acceptedAfterSeconds: number;
    /** A degraded statement that has made no window for that long is no longer run. */
    readonly idleSeconds: number;
  };
  readonly fenceSeconds: number;
  readonly slots: {
    readonly lagBytes: number;
    /** An inactive slot that no open hop uses. */
    readonly orphanSeconds: number;
  };
  readonly access: {
    readonly refusalsAnHour: number;
    readonly operatorRequestsAnHour: number;
    readonly changesADay: number;
    /** Of answers. */
    readonly bytesAnHour: number;
    /** Multiple of the tenant's median day. */
    readonly factor: number;
    /** Days with entries, or with requests, without which a tenant has no median day. */
    readonly daysOfBaseline: number;
  };
  readonly backupSeconds: number;
  /** Runs, a minute apart, in which the bus has refused an event. */
  readonly eventAttempts: number;
  /** How long a failure is told where nothing else ends it. */
  readonly failureSeconds: number;
  /** How long each kind of work may take. */
  readonly overdueSeconds: Readonly<Record<OverdueWork, number>>;
}

export type OverdueWork =
  | 'move'
  | 'restore'
  | 'rollout'
  | 'backup'
  | 'export'
  | 'onboarding'
  | 'offboarding'
  | 'key-rotation'
  | 'credential-rotation';

/** An alert opens at `raise` and ends below `clear`, so that it does not open and end with every run. */
export interface Hysteresis {
  readonly raise: number;
  readonly clear: number;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export const THRESHOLDS: AlertThresholds = {
  storage: { raise: 0.8, clear: 0.75 },
  connections: { raise: 0.9, clear: 0.8 },
  queries: {
    factor: { raise: 3, clear: 2 },
    atLeastMs: 50,
    callsOfWindow: 20,
    callsOfBaseline: 100,
    memorySeconds: DAY,
    acceptedAfterSeconds: DAY,
    idleSeconds: HOUR,
  },
  fenceSeconds: 30,
  slots: { lagBytes: 4 * 1024 ** 3, orphanSeconds: 15 * MINUTE },
  access: {
    refusalsAnHour: 30,
    operatorRequestsAnHour: 50,
    changesADay: 500,
    bytesAnHour: 100_000_000,
    factor: 5,
    daysOfBaseline: 3,
  },
  backupSeconds: 30 * HOUR,
  eventAttempts: 15,
  failureSeconds: 7 * DAY,
  overdueSeconds: {
    move: DAY,
    restore: DAY,
    rollout: DAY,
    backup: 6 * HOUR,
    export: 6 * HOUR,
    onboarding: 30 * MINUTE,
    offboarding: DAY,
    'key-rotation': DAY,
    'credential-rotation': DAY,
  },
};
