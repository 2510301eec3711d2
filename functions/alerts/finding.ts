import type { AlertKind, Severity } from './alert-kinds.ts';
import type { Hysteresis } from './thresholds.ts';

/** What a rule has found to be so in this run. */
export interface Finding {
  readonly kind: AlertKind;
  /** What it is about, unique among the findings of its kind: one condition has one alert. */
  readonly subject: string;
  readonly tenantId?: string;
  readonly cellId?: string;
  /** `raise` opens an alert. `keep` only keeps one that is open: the figure is between its two thresholds. */
  readonly level: 'raise' | 'keep';
  /** That of the kind when absent. */
  readonly severity?: Severity;
  /** One line for an operator, without people's names. */
  readonly summary: string;
  /** Figures, for a program. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** The alert's key. */
export const conditionOf = ({ kind, subject }: Pick<Finding, 'kind' | 'subject'>): string =>
  `${kind} ${subject}`;

/** undefined: the figure is below both thresholds. */
export function levelOf(figure: number, { raise, clear }: Hysteresis): Finding['level'] | undefined {
  if (figure >= raise) return 'raise';
  return figure >= clear ? 'keep' : undefined;
}

/** The subject's name in a summary, and the fields that alerts of it have. */
export interface Subject {
  readonly subject: string;
  readonly tenantId?: string;
  readonly cellId?: string;
}

export const ofTenant = (tenantId: string): Subject => ({ subject: `tenant ${tenantId}`, tenantId });
export const ofCell = (cellId: string): Subject => ({ subject: `cell ${cellId}`, cellId });

/** `81 %`, rounded down, so that a limit that is not reached does not look like one. */
export const percent = (share: number): string => `${Math.floor(share * 100)} %`;

/** `1.2 GB`, with decimal units as storage is sold. */
export function sizeText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
