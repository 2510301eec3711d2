import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs that speak the protocol, the preferred one first. */
const PROGRAMS = ['valkey-server', 'redis-server'];

/** The path of the program; undefined when none is installed. */
export function valkeyProgram(path: string = process.env.PATH ?? ''): string | undefined {
  // Debian puts servers where only the administrator's PATH leads.
  const directories = [...path.split(delimiter).filter(Boolean), '/usr/sbin', '/usr/local/bin'];
  for (const program of PROGRAMS) {
    const found = directories.map((directory) => join(directory, program)).find(isExecutable);
    if (found) return found;
  }
  return undefined;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
