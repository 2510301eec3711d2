const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** `1.3 GB`, in powers of 1000. */
export function bytesText(bytes: number): string {
  let unit = 0;
  let amount = bytes;
  while (amount >= 999.95 && unit < BYTE_UNITS.length - 1) {
    amount /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** `12,345` */
export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/** `1 row`, `2 rows` */
export function counted(count: number, singular: string): string {
  return `${countText(count)} ${singular}${count === 1 ? '' : 's'}`;
}

/** `12.3 s`, `2 min 03 s`, `1 h 05 min` */
export function durationText(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  return `${Math.floor(whole / 3_600)} h ${padded(Math.floor((whole % 3_600) / 60))} min`;
}

/** `12.9 ms`; a pause of seconds is told in milliseconds, too. */
export function pauseText(ms: number): string {
  return `${ms < 100 ? ms.toFixed(1) : countText(Math.round(ms))} ms`;
}

function padded(number: number): string {
  return String(number).padStart(2, '0');
}
