/**
 * Sign-ins of this user of this machine, one for each API, in `sign-ins.json` in the configuration directory. Nobody else
 * may read it: it has tokens.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CommandError } from '../errors.ts';

export interface StoredSignIn {
  readonly issuer: string;
  readonly clientId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Of the access token, in epoch seconds. */
  readonly expiresAt: number;
}

/** `STRATA_CONFIG_DIR`, or the usual place of the system. */
export function configDirectory(environment: NodeJS.ProcessEnv, home = homedir()): string {
  const { STRATA_CONFIG_DIR: own, XDG_CONFIG_HOME: xdg, APPDATA: windows } = environment;
  if (own) return own;
  return join(xdg || windows || join(home, '.config'), 'strata');
}

export class StoredSignIns {
  readonly #directory: string;
  readonly #path: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, 'sign-ins.json');
  }

  /** @throws {CommandError} the file cannot be read. */
  find(apiUrl: string): StoredSignIn | undefined {
    return this.#read()[keyOf(apiUrl)];
  }

  /** @throws {CommandError} the file cannot be read or written. */
  save(apiUrl: string, signIn: StoredSignIn): void {
    this.#write({ ...this.#read(), [keyOf(apiUrl)]: signIn });
  }

  remove(apiUrl: string): void {
    const { [keyOf(apiUrl)]: _removed, ...others } = this.#read();
    this.#write(others);
  }

  #read(): Record<string, StoredSignIn> {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {};
      throw new CommandError(`${this.#path} cannot be read: ${(cause as Error).message}`);
    }
    try {
      return JSON.parse(text) as Record<string, StoredSignIn>;
    } catch {
      throw new CommandError(`${this.#path} is damaged: remove it, and run strata login again`);
    }
  }

  /** A reader sees the file whole, and another process's file is never half overwritten. */
  #write(signIns: Record<string, StoredSignIn>): void {
    const beside = `${this.#path}.${randomUUID()}`;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      writeFileSync(beside, `${JSON.stringify(signIns, undefined, 2)}\n`, { mode: 0o600, flag: 'wx' });
      // The process's umask may only have taken rights away; this takes those of a wider one.
      chmodSync(beside, 0o600);
      renameSync(beside, this.#path);
    } catch (cause) {
      rmSync(beside, { force: true });
      throw new CommandError(`${this.#path} cannot be written: ${(cause as Error).message}`);
    }
  }
}

/** `localhost` and 127.0.0.1 are one API. */
function keyOf(apiUrl: string): string {
  return apiUrl.replace('//127.0.0.1', '//localhost');
}
