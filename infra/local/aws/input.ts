import { AwsError } from './errors.ts';

/**
 * Members of a request, read strictly but without caring whether they came as JSON or as a form:
 * a form carries numbers and booleans as text and an empty list as an empty string.
 */
export class Input {
  readonly members: Record<string, unknown>;
  /** Code of the error for a missing or malformed member. */
  readonly invalid: string;

  constructor(members: Record<string, unknown>, invalid = 'ValidationException') {
    this.members = members;
    this.invalid = invalid;
  }

  has(name: string): boolean {
    return this.members[name] !== undefined && this.members[name] !== null;
  }

  text(name: string): string | undefined {
    const value = this.members[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') throw this.#malformed(name, 'a string');
    return value;
  }

  /** @throws {AwsError} when it is absent or empty */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined || value === '') {
      throw new AwsError(
        this.invalid,
        `1 validation error detected: Value null at '${name}' failed to satisfy constraint: Member must not be null`,
      );
    }
    return value;
  }

  boolean(name: string): boolean | undefined {
    const value = this.members[name];
    if (value === undefined || value === null || value === '') return undefined;
    if (value === true || value === 'true') return true;
    if (value === false || value === 'false') return false;
    throw this.#malformed(name, 'a boolean');
  }

  integer(name: string): number | undefined {
    const value = this.members[name];
    if (value === undefined || value === null || value === '') return undefined;
    const number = typeof value === 'string' ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number)) throw this.#malformed(name, 'an integer');
    return number;
  }

  list(name: string): unknown[] {
    const value = this.members[name];
    if (value === undefined || value === null || value === '') return [];
    if (!Array.isArray(value)) throw this.#malformed(name, 'a list');
    return value;
  }

  texts(name: string): string[] {
    return this.list(name).map((item) => {
      if (typeof item !== 'string') throw this.#malformed(name, 'a list of strings');
      return item;
    });
  }

  /** A list of structures. */
  inputs(name: string): Input[] {
    return this.list(name).map((item) => {
      if (typeof item !== 'object' || item === null) throw this.#malformed(name, 'a list of structures');
      return new Input(item as Record<string, unknown>, this.invalid);
    });
  }

  /** Reads a bare list of structures found elsewhere, under this reader's rules. */
  wrap(name: string, items: unknown): Input[] {
    return new Input({ [name]: items }, this.invalid).inputs(name);
  }

  structure(name: string): Input | undefined {
    const value = this.members[name];
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.#malformed(name, 'a structure');
    return new Input(value as Record<string, unknown>, this.invalid);
  }

  /** A binary member, base64 in both kinds of protocol. */
  blob(name: string): Buffer | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : Buffer.from(value, 'base64');
  }

  #malformed(name: string, expected: string): AwsError {
    return new AwsError(this.invalid, `Value at '${name}' must be ${expected}`);
  }
}
