import * as z from 'zod/mini';

/** Names of schemas in the document's `components`. */
export const componentNames = z.registry<{ readonly id: string }>();

/**
 * Names a schema: the document has it once, under `components/schemas`. Let the compiler compare it with the type of
 * what the handler answers: `component('Tenant', z.object({ … }) satisfies z.ZodMiniType<TenantRecord>)`.
 */
export function component<Schema extends z.core.$ZodType>(name: string, schema: Schema): Schema {
  componentNames.add(schema, { id: name });
  return schema;
}

/** A page of a list: `{ items, nextCursor }`. @param name the item's name in `components`. */
export function pageOf<Item extends z.core.$ZodType>(name: string, item: Item) {
  return component(`${name}Page`, z.object({ items: z.array(item), nextCursor: z.nullable(z.string()) }));
}
