/** Column names and JSON names: `first_name` ⇄ `firstName`. Remembered, since there are few and they recur per row. */
const camelNames = new Map<string, string>();
const snakeNames = new Map<string, string>();

export function toCamelCase(column: string): string {
  let name = camelNames.get(column);
  if (name === undefined) {
    name = column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    camelNames.set(column, name);
  }
  return name;
}

export function toSnakeCase(field: string): string {
  let name = snakeNames.get(field);
  if (name === undefined) {
    name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    snakeNames.set(field, name);
  }
  return name;
}

export type Item = Record<string, unknown>;

/** A row as its JSON item, in the order of its columns. The contents of `jsonb` columns stay as they are. */
export function toItem(row: object): Item {
  const item: Item = {};
  for (const [column, value] of Object.entries(row)) item[toCamelCase(column)] = value;
  return item;
}
