import { timestamptz, uuid } from './column.ts';

export const newId = () => uuid().notNull().default('gen_random_uuid()');

export const createdAt = () => timestamptz().notNull().default('now()');

/** The application sets it in each UPDATE: a trigger would cost every row of a copy too. */
export const updatedAt = () => timestamptz().notNull().default('now()');
