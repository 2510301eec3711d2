import { randomInt } from 'node:crypto';
import { AwsError } from '../../errors.ts';

/** Options of GetRandomPassword, shared with CloudFormation's GenerateSecretString. */
export interface PasswordOptions {
  length?: number | undefined;
  excludeCharacters?: string | undefined;
  excludeNumbers?: boolean | undefined;
  excludePunctuation?: boolean | undefined;
  excludeUppercase?: boolean | undefined;
  excludeLowercase?: boolean | undefined;
  includeSpace?: boolean | undefined;
  requireEachIncludedType?: boolean | undefined;
}

const PUNCTUATION = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

/** @throws {AwsError} InvalidParameterException when no characters are left */
export function randomPassword(options: PasswordOptions): string {
  const length = options.length ?? 32;
  if (length < 1 || length > 4096) throw invalid('PasswordLength must be between 1 and 4096');
  const excluded = new Set(options.excludeCharacters ?? '');
  const types = [
    options.excludeLowercase ? '' : 'abcdefghijklmnopqrstuvwxyz',
    options.excludeUppercase ? '' : 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
    options.excludeNumbers ? '' : '0123456789',
    options.excludePunctuation ? '' : PUNCTUATION,
    options.includeSpace ? ' ' : '',
  ]
    .map((type) => [...type].filter((character) => !excluded.has(character)))
    .filter((type) => type.length > 0);
  const all = types.flat();
  if (all.length === 0) throw invalid('No characters are left to generate a password from');
  const characters = Array.from({ length }, () => pick(all));
  if (options.requireEachIncludedType ?? true) {
    if (types.length > length) throw invalid('PasswordLength is too short for each included type');
    // Distinct random positions, so that no type's character is predictable.
    const places = shuffledIndexes(length);
    types.forEach((type, index) => {
      characters[places[index]!] = pick(type);
    });
  }
  return characters.join('');
}

function pick(characters: string[]): string {
  return characters[randomInt(characters.length)]!;
}

function shuffledIndexes(length: number): number[] {
  const indexes = Array.from({ length }, (_, index) => index);
  for (let last = length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [indexes[last], indexes[other]] = [indexes[other]!, indexes[last]!];
  }
  return indexes;
}

function invalid(message: string): AwsError {
  return new AwsError('InvalidParameterException', message);
}
