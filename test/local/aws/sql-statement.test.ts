import { describe, expect, test } from 'vitest';
import { internals } from '../../../infra/local/index.ts';

const { parseSql } = await internals();

const parameters = (sql: string): string[] =>
  parseSql(sql).parts.flatMap((part) => (typeof part === 'string' ? [] : [part.parameter]));

describe('named parameters', () => {
  test.each<[string, string[]]>([
    ['SELECT :a, :b_2, :a', ['a', 'b_2', 'a']],
    ['SELECT :a::uuid', ['a']],
    ["SELECT 'it''s :x' || :a", ['a']],
    ["SELECT E'\\':x' || :a", ['a']],
    ["SELECT e'\\\\' || :a || ':x'", ['a']],
    ["SELECT date'2024-01-01' + :a, '\\' || :b", ['a', 'b']],
    ['SELECT "co:x""l" = :a', ['a']],
    ['SELECT $$ :x $$ || $t$ $$ :x $t$ || :a', ['a']],
    ['SELECT a$b$c, :a', ['a']],
    ['SELECT 1 -- :x\n, :a', ['a']],
    ['SELECT /* :x /* :x */ :x */ :a', ['a']],
    ['SELECT f(named := :a)', ['a']],
    ['SELECT list[1:2], :a', ['a']],
    ['SELECT now()::timestamptz', []],
    ['SELECT :1', []],
    ["SELECT ':x", []],
  ])('%s', (sql, expected) => {
    expect(parameters(sql)).toEqual(expected);
  });
});

describe('statements', () => {
  test.each(['SELECT 1;', 'SELECT 1; -- end', 'SELECT 1 ;; /* end */ ', "SELECT ';'", 'DO $$ BEGIN; END $$'])(
    'one: %s',
    (sql) => {
      expect(() => parseSql(sql)).not.toThrow();
    },
  );
  test.each(['SELECT 1; SELECT 2', 'BEGIN;:a', "SELECT 1;'x'"])('more than one: %s', (sql) => {
    expect(() => parseSql(sql)).toThrow("Multistatements aren't supported.");
  });
});
