/**
 * Wall-clock time of a zone. A wall time is represented as the epoch milliseconds that it would be in UTC, so that it
 * can be computed with.
 */
const formats = new Map<string, Intl.DateTimeFormat>();
const DAY = 86_400_000;

/** @throws {RangeError} when there is no such zone */
function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, format);
  }
  return format;
}

export function isTimeZone(zone: string): boolean {
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

/** The zone's wall time at that instant, to the second. */
export function wallTime(instant: number, zone: string): number {
  if (zone === 'UTC') return Math.floor(instant / 1_000) * 1_000;
  const parts: Record<string, number> = {};
  for (const { type, value } of formatOf(zone).formatToParts(instant)) parts[type] = Number(value);
  const { year, month, day, hour, minute, second } = parts;
  return Date.UTC(year!, month! - 1, day, hour, minute, second);
}

/**
 * The instant of a wall time in the zone: the first one when clocks show it twice in autumn; undefined when they skip
 * it in spring. EventBridge Scheduler runs a schedule once in the first case and not at all in the second.
 */
export function instantOf(wall: number, zone: string): number | undefined {
  if (zone === 'UTC') return wall;
  const offsets = [wall - DAY, wall + DAY].map((near) => wallTime(near, zone) - near);
  return offsets
    .map((offset) => wall - offset)
    .sort((a, b) => a - b)
    .find((instant) => wallTime(instant, zone) === wall);
}
