import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { isObject, mergePatch, requireDocumentSize } from '../resources/documents.ts';
import { requireMatch } from '../resources/entity-tag.ts';
import { InvalidReference, ResourceConflict, ResourceNotFound } from '../resources/errors.ts';
import { type Item, toCamelCase } from '../resources/field-names.ts';
import { type Page, type PageRequest, toPage } from '../resources/keyset-page.ts';
import { cursorIn } from '../resources/list-order.ts';
import { recordCreate, recordDelete, recordUpdate } from './audit-changes.ts';
import { type Actor, audited } from './audit-log.ts';
import type { AfterLock, ResourceChange } from './cached-resources.ts';
import { explainRefusedDelete, explainRefusedRow } from './constraint-violations.ts';
import { createOnce, type IdempotencyUse, type KeptAnswer } from './idempotent-create.ts';
import type { Resource, Values } from './resource.ts';
import type { ResourceRules } from './resource-rules.ts';
import {
  deleteOne,
  insertOne,
  type ListFilter,
  listOrder,
  selectCircle,
  selectOne,
  selectPage,
  selectParent,
  updateOne,
} from './resource-statements.ts';
import {
  readStoredRow,
  type SealedColumns,
  type StoredRow,
  sealedFieldsIn,
  seesSealedFields,
  type TaggedItem,
  tagged,
} from './stored-row.ts';

export interface Created {
  readonly answer: KeptAnswer;
  readonly replayed: boolean;
}

export interface CreateRequest {
  /** Columns of the new row that the client set. */
  readonly values: Values;
  /** Key columns that came from the parent's path. */
  readonly parents: Values;
  /** The path of the item with that id. */
  readonly locate: (id: string) => string;
  readonly idempotency: IdempotencyUse | undefined;
}

interface Change {
  readonly patch: Values;
  /** Columns of the encrypted fields of the patch. */
  readonly sealed: SealedColumns | undefined;
  readonly ifMatch: string | undefined;
}

const loadSealedFields = () => import('./sealed-fields.ts');
/** Only where there is a cache. */
const loadCachedResources = () => import('./cached-resources.ts');

/** One kind of resource, for all tenants: the same statements run under every isolation model. */
export class ResourceStore {
  readonly resource: Resource;
  /** With the columns of encrypted fields. */
  readonly #whole: Resource;
  readonly #rules: ResourceRules | undefined;

  /** @param rules of changes that the database alone cannot judge. */
  constructor(resource: Resource, rules?: ResourceRules) {
    this.resource = resource;
    this.#rules = rules;
    const sealed = resource.sealed?.map(({ column }) => column) ?? [];
    this.#whole = { ...resource, columns: [...resource.columns, ...sealed] };
  }

  /**
   * @param reader sees encrypted fields if it is an administrator of the tenant.
   * @throws {InvalidCursor | ResourceNotFound (the parent) | KeyUnavailable | EncryptedValueDamaged}
   */
  async list(tenant: TenantAccess, filter: ListFilter, page: PageRequest, reader?: Actor): Promise<Page> {
    const shows = this.#shows(reader);
    const select = selectPage(shows ? this.#whole : this.resource, filter, page);
    const order = listOrder(this.resource, filter);
    const cursorOf = (row: object) => cursorIn(order, row);
    const read = async (from: TenantAccess): Promise<Page> => {
      if (!this.resource.parentTable) {
        const [rows] = await from.batch('read', [select]);
        return toPage(rows, page.limit, cursorOf);
      }
      const [rows, [parent]] = await from.batch('read', [select, selectParent(this.resource, filter.equals)]);
      if (!parent) throw new ResourceNotFound('the parent does not exist');
      return toPage(rows, page.limit, cursorOf);
    };
    if (shows) {
      const found = await read(tenant);
      return { ...found, items: await this.#openItems(tenant, found.items) };
    }
    if (!tenant.cache) return read(tenant);
    const { readCachedList } = await loadCachedResources();
    return readCachedList(tenant, this.resource, { filter, page }, read);
  }

  /**
   * @param reader sees encrypted fields if it is an administrator of the tenant.
   * @throws {ResourceNotFound | KeyUnavailable | EncryptedValueDamaged}
   */
  async get(tenant: TenantAccess, key: Values, reader?: Actor): Promise<TaggedItem> {
    const read = async (from: TenantAccess): Promise<object> => {
      const [[row]] = await from.batch('read', [selectOne(this.#whole, key)]);
      if (!row) throw new ResourceNotFound(`no such ${this.resource.type}`);
      return row;
    };
    const row = tenant.cache
      ? await (await loadCachedResources()).readCachedRow(tenant, this.#whole, key, read)
      : await read(tenant);
    return this.#show(tenant, reader, this.#ownId(key), readStoredRow(this.resource, row));
  }

  /**
   * @throws {ResourceConflict | InvalidReference | ResourceNotFound (the parent) | IdempotencyKeyReused |
   *   DocumentTooLarge | KeyUnavailable}
   */
  create(tenant: TenantAccess, actor: Actor, request: CreateRequest): Promise<Created> {
    const change = { kind: 'create', key: request.parents } as const;
    return this.#changing(tenant, change, (watched) => this.#create(watched, actor, request));
  }

  async #create(tenant: TenantAccess, actor: Actor, request: CreateRequest): Promise<Created> {
    this.#requireDocumentSizes(request.values);
    const ownId = this.resource.key.at(-1) as string;
    // Made here, not by the column's default, because the audit entry and the Location need it in the same round trip.
    const id = (request.values[ownId] as string | undefined) ?? randomUUID();
    const sealed = await this.#seal(tenant, id, request.values);
    const row = { ...this.#unsealed(request.values), ...sealed, ...request.parents, [ownId]: id };
    const insert = (derived: Values = {}) =>
      audited<object>(
        insertOne(this.#whole, { ...row, ...derived }),
        actor,
        {
          action: `${this.resource.type}.create`,
          resourceType: this.resource.type,
          resourceId: id,
          // Beside the row's fields (`changes`), from which defaults, rules and redaction make it differ; above 16 KB the
          // row's fields are hashes.
          requestData: request.values,
          responseStatus: 201,
        },
        recordCreate(this.resource, { ...row, ...derived }),
      );
    const toAnswer = (inserted: object | undefined): KeptAnswer => {
      if (!inserted) throw this.#taken(request.values);
      const stored = readStoredRow(this.resource, inserted);
      const { item: body, etag } = tagged(stored);
      return { status: 201, location: request.locate(id), body, etag, sealed: stored.sealed };
    };
    const show = async ({ answer, replayed }: Created): Promise<Created> => {
      if (!this.#shows(actor)) return { answer, replayed };
      // A replay has the id of the first request's row.
      const item = answer.body as Item;
      const shown = await this.#open(tenant, String(item[toCamelCase(ownId)]), answer.sealed ?? {});
      return { answer: { ...answer, body: { ...item, ...shown } }, replayed };
    };
    const rules = this.#rules?.concerns(request.values, 'create') ? this.#rules : undefined;
    const inTransaction = async (transaction: TenantTransaction) => {
      const change = { patch: request.values, values: row, key: row, current: undefined };
      const derived = await rules?.check?.(transaction, change);
      const [inserted] = await transaction.query(insert(derived ?? {}));
      return toAnswer(inserted);
    };
    try {
      if (request.idempotency) {
        const secret = sealed && (await loadSealedFields()).encryptedHash(tenant, request.idempotency.key);
        return await show(await createOnce(tenant, request.idempotency, inTransaction, secret));
      }
      if (rules) {
        return await show({ answer: await tenant.transaction('write', inTransaction), replayed: false });
      }
      const [[inserted]] = await tenant.batch('write', [insert()]);
      return await show({ answer: toAnswer(inserted), replayed: false });
    } catch (error) {
      throw explainRefusedRow(error, this.resource, request.values, request.parents);
    }
  }

  /**
   * Applies a merge patch, given by column.
   * @throws {ResourceNotFound | VersionMismatch | ResourceConflict | InvalidReference | DocumentTooLarge |
   *   KeyUnavailable | EncryptedValueDamaged} and what the rules throw.
   */
  async update(
    tenant: TenantAccess,
    actor: Actor,
    key: Values,
    patch: Values,
    ifMatch: string | undefined,
  ): Promise<TaggedItem> {
    const id = this.#ownId(key);
    // The answer shows the encrypted fields. When they cannot be opened, nothing must have changed: open them first.
    if (this.#shows(actor)) await this.get(tenant, key, actor);
    const sealed = await this.#seal(tenant, id, patch);
    const stored = await this.#changing(tenant, { kind: 'update', key }, (watched) =>
      this.#change(watched, actor, key, { patch, sealed, ifMatch }),
    );
    return this.#show(tenant, actor, id, stored);
  }

  async #change(
    tenant: TenantAccess,
    actor: Actor,
    key: Values,
    { patch, sealed, ifMatch }: Change,
  ): Promise<StoredRow> {
    const read = (row: object) => readStoredRow(this.resource, row);
    // These changes need the stored row.
    const merges = this.resource.documents.some((column) => isObject(patch[column]));
    const compares = this.resource.caseless?.some((column) => patch[column] !== undefined);
    const { hierarchy } = this.resource;
    const above = hierarchy && patch[hierarchy];
    const rules = this.#rules?.concerns(patch, 'update') ? this.#rules : undefined;
    const onlyWrites = ifMatch === undefined && !merges && !compares && !above && !rules;
    try {
      if (onlyWrites && Object.keys(patch).length > 0) {
        this.#requireDocumentSizes(patch);
        const [[row]] = await tenant.batch('write', [this.#auditedUpdate(actor, key, patch, sealed)]);
        if (!row) throw new ResourceNotFound(`no such ${this.resource.type}`);
        return read(row);
      }
      return await tenant.transaction('write', async (transaction) => {
        // Lock the hierarchy before the row: a change of another row may hold the hierarchy and wait for this row.
        if (above) await lockHierarchy(transaction, this.resource.table);
        const current = await this.#lock(transaction, key);
        requireMatch(ifMatch, read(current).version);
        if (Object.keys(patch).length === 0) return read(current);
        if (above) await this.#requireNoCircle(transaction, key, above);
        const changes = this.#merge(current, patch);
        this.#requireDocumentSizes(changes);
        const stored = current as Values;
        const derived = await rules?.check?.(transaction, { patch, values: changes, key, current: stored });
        const change = this.#auditedUpdate(actor, key, changes, { ...sealed, ...derived });
        const [row] = await transaction.query(change);
        if (!row) throw this.#taken(changes);
        return read(row);
      });
    } catch (error) {
      throw explainRefusedRow(error, this.resource, patch, {});
    }
  }

  /** @throws {ResourceNotFound | VersionMismatch | ResourceConflict (it is still referred to)} and what the rules throw. */
  delete(tenant: TenantAccess, actor: Actor, key: Values, ifMatch: string | undefined): Promise<void> {
    return this.#changing(tenant, { kind: 'delete', key }, (watched, afterLock) =>
      this.#delete(watched, actor, key, { ifMatch, afterLock }),
    );
  }

  async #delete(
    tenant: TenantAccess,
    actor: Actor,
    key: Values,
    { ifMatch, afterLock }: { ifMatch: string | undefined; afterLock: AfterLock | undefined },
  ): Promise<void> {
    const statement = audited<object>(
      deleteOne(this.resource, key),
      actor,
      {
        action: `${this.resource.type}.delete`,
        resourceType: this.resource.type,
        resourceId: this.#ownId(key),
        requestData: undefined,
        responseStatus: 204,
      },
      recordDelete(this.resource),
    );
    try {
      if (ifMatch === undefined && !this.#rules?.checkDelete && !afterLock) {
        const [[row]] = await tenant.batch('write', [statement]);
        if (!row) throw new ResourceNotFound(`no such ${this.resource.type}`);
        return;
      }
      await tenant.transaction('write', async (transaction) => {
        const current = await this.#lock(transaction, key);
        requireMatch(ifMatch, readStoredRow(this.resource, current).version);
        await this.#rules?.checkDelete?.(transaction, current as Values);
        await afterLock?.(transaction);
        await transaction.query(statement);
      });
    } catch (error) {
      throw explainRefusedDelete(error, this.resource);
    }
  }

  /** Runs a change so that no cached copy of what it changes outlives it. */
  async #changing<Result>(
    tenant: TenantAccess,
    change: ResourceChange,
    work: (tenant: TenantAccess, afterLock?: AfterLock) => Promise<Result>,
  ): Promise<Result> {
    if (!tenant.cache) return work(tenant);
    const { changeCached } = await loadCachedResources();
    return changeCached(tenant, this.resource, change, work);
  }

  async #lock(transaction: TenantTransaction, key: Values): Promise<object> {
    const [row] = await transaction.query(selectOne(this.#whole, key).forUpdate());
    if (!row) throw new ResourceNotFound(`no such ${this.resource.type}`);
    return row;
  }

  async #requireNoCircle(transaction: TenantTransaction, key: Values, above: unknown): Promise<void> {
    const [circle] = await transaction.query(selectCircle(this.resource, this.#ownId(key), above));
    if (circle) {
      const field = toCamelCase(this.resource.hierarchy ?? '');
      throw new InvalidReference(`would put the ${this.resource.type} below itself`, field);
    }
  }

  #merge(current: object, patch: Values): Values {
    const merged: Record<string, unknown> = { ...patch };
    for (const column of this.resource.documents) {
      if (isObject(patch[column])) {
        merged[column] = mergePatch((current as Values)[column], patch[column]);
      }
    }
    return merged;
  }

  /** The error for a value of a caseless column that another row has. */
  #taken(values: Values): ResourceConflict {
    const field = toCamelCase(this.resource.caseless?.find((column) => values[column] !== undefined) ?? '');
    return new ResourceConflict(`Another ${this.resource.type} has this ${field}.`, field);
  }

  #requireDocumentSizes(values: Values): void {
    for (const column of this.resource.documents) requireDocumentSize(toCamelCase(column), values[column]);
  }

  /**
   * @param values recorded in the audit log, which redacts encrypted fields.
   * @param more columns that are stored besides: encrypted values, and what rules derive.
   */
  #auditedUpdate(actor: Actor, key: Values, values: Values, more: Values = {}) {
    const columns = { ...this.#unsealed(values), ...more };
    return audited<object>(
      updateOne(this.#whole, key, columns, 'before'),
      actor,
      {
        action: `${this.resource.type}.update`,
        resourceType: this.resource.type,
        resourceId: this.#ownId(key),
        requestData: values,
        responseStatus: 200,
      },
      recordUpdate(this.resource, key, columns),
    );
  }

  #shows(reader: Actor | undefined): boolean {
    return this.resource.sealed !== undefined && seesSealedFields(reader);
  }

  /** The values without the fields that are stored in columns of encrypted values. */
  #unsealed(values: Values): Values {
    const fields = this.resource.sealed?.map(({ field }) => field) ?? [];
    return Object.fromEntries(Object.entries(values).filter(([name]) => !fields.includes(name)));
  }

  /** The columns of the encrypted fields among the values; undefined when there are none. */
  async #seal(tenant: TenantAccess, id: string, values: Values): Promise<SealedColumns | undefined> {
    if (sealedFieldsIn(this.resource, values).length === 0) return undefined;
    return (await loadSealedFields()).sealFields(tenant, this.resource, id, values);
  }

  async #open(tenant: TenantAccess, id: string, sealed: SealedColumns): Promise<Values> {
    return (await this.#openAll(tenant, [{ id, sealed }]))[0] as Values;
  }

  /** The encrypted fields of rows by their names in JSON. */
  async #openAll(tenant: TenantAccess, rows: readonly { id: string; sealed: SealedColumns }[]) {
    if (rows.some(({ sealed }) => Object.values(sealed).some((value) => value !== null))) {
      return (await loadSealedFields()).openRows(tenant, this.resource, rows);
    }
    const empty = Object.fromEntries(this.resource.sealed?.map(({ field }) => [field, null]) ?? []);
    return rows.map(() => empty);
  }

  async #show(
    tenant: TenantAccess,
    reader: Actor | undefined,
    id: string,
    stored: StoredRow,
  ): Promise<TaggedItem> {
    const { item, etag } = tagged(stored);
    if (!this.#shows(reader)) return { item, etag };
    return { item: { ...item, ...(await this.#open(tenant, id, stored.sealed)) }, etag };
  }

  /** The items of a page that has the encrypted columns, with the fields instead. */
  async #openItems(tenant: TenantAccess, items: readonly Item[]): Promise<Item[]> {
    const id = toCamelCase(this.resource.key.at(-1) as string);
    const rows = items.map((item) => {
      const sealed: Record<string, Buffer | null> = {};
      const plain: Item = { ...item };
      for (const { column } of this.resource.sealed ?? []) {
        sealed[column] = (item[toCamelCase(column)] as Buffer | null | undefined) ?? null;
        delete plain[toCamelCase(column)];
      }
      return { id: String(item[id]), plain, sealed };
    });
    const opened = await this.#openAll(tenant, rows);
    return rows.map(({ plain }, index) => ({ ...plain, ...opened[index] }));
  }

  #ownId(key: Values): string {
    return key[this.resource.key.at(-1) as string] as string;
  }
}

/**
 * Locks the tenant's hierarchy in that table until the transaction ends. Without the lock, two changes that each check
 * the ancestors of their own row, in their own snapshots, could close a circle together.
 *
 * The lock is a row of the tenant's data, not an advisory lock, which every role of the database could take. The row is
 * an idempotency key, because these move with the tenant, and begins with a space, which no header value does.
 */
export async function lockHierarchy(transaction: TenantTransaction, table: string): Promise<void> {
  const key = ` hierarchy of ${table}`;
  for (;;) {
    const [, locked] = await Promise.all([
      transaction.query(
        tenantStatement(sql`INSERT INTO idempotency_keys (idempotency_key, request_method, request_path, request_hash)
          VALUES (${key}, '', '', '') ON CONFLICT DO NOTHING`),
      ),
      transaction.query(
        tenantStatement(
          sql`SELECT 1 AS locked FROM idempotency_keys WHERE idempotency_key = ${key} FOR UPDATE`,
        ),
      ),
    ]);
    // No row when old keys are being removed at the same time.
    if (locked.length > 0) return;
  }
}
