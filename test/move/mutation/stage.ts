/**
 * Where the scenarios play: a database that runs the code under test, one tenant, and clients of it, whose acknowledged
 * writes are remembered. Sessions are interleaved by hand: whatever one does is awaited before the next one acts, or it
 * is seen to wait in the lock table.
 */
import type pg from 'pg';
import { placeTenant, type TenantPlacement } from '../../../functions/database/provisioning/place-tenant.ts';
import { createTenantSchema } from '../../../functions/database/provisioning/tenant-schema.ts';
import { readPlacement } from '../../../functions/database/transfer/fence.ts';
import type { Hop } from '../../../functions/moves/hop.ts';
import type { Place } from '../../../functions/places/place.ts';
import { asTenant, enterTenant } from '../../enter-tenant.ts';
import { type Login, TestDatabase, type TestTenant } from '../../test-database.ts';
import { arrivalIn, hopOf, placeOf, type StepLog } from '../hop-world.ts';
import type { LocalSecrets } from '../local-secrets.ts';
import type { Protocol } from './mutated-protocol.ts';
import { withinPause } from './within-pause.ts';

export class Stage {
  readonly code: Protocol;
  readonly database: TestDatabase;
  readonly tenant: TestTenant;
  readonly #secrets: LocalSecrets;
  readonly #watcher: pg.Client;
  readonly #closing: (() => Promise<unknown>)[] = [];
  /** By e-mail address; null: it was deleted. */
  readonly #acknowledged = new Map<string, string | null>();

  private constructor(
    code: Protocol,
    secrets: LocalSecrets,
    database: TestDatabase,
    tenant: TestTenant,
    watcher: pg.Client,
  ) {
    this.code = code;
    this.database = database;
    this.tenant = tenant;
    this.#secrets = secrets;
    this.#watcher = watcher;
  }

  /** With Ada and Bob, who are employees of the tenant. */
  static async set(
    code: Protocol,
    secrets: LocalSecrets,
    model: TestTenant['isolationModel'],
  ): Promise<Stage> {
    const database = await TestDatabase.clone();
    const watcher = await database.connect('superuser');
    for (const statement of code.tenancyFunctions) await watcher.query(statement);
    const stage = new Stage(code, secrets, database, await database.addTenant(model), watcher);
    stage.beforeEnd(() => database.drop());
    const visitor = await stage.enter();
    for (const name of ['ada', 'bob']) await visitor.add(name, 'first');
    await visitor.commit();
    return stage;
  }

  /** A second database, which also runs the code under test. */
  async addDatabase(): Promise<TestDatabase> {
    const database = await TestDatabase.clone();
    const superuser = await database.connect('superuser');
    for (const statement of this.code.tenancyFunctions) await superuser.query(statement);
    this.beforeEnd(() => database.drop());
    return database;
  }

  /** Before what was set up earlier. */
  beforeEnd(close: () => Promise<unknown>): void {
    this.#closing.unshift(close);
  }

  async end(): Promise<void> {
    for (const close of this.#closing) await close();
  }

  /** The first try, or another one, of a hop that takes the tenant from where the test has placed it. */
  async hop(
    kind: Hop['kind'],
    model: Place['isolationModel'],
    { to = this.database, number = 1 }: { to?: TestDatabase; number?: number } = {},
  ): Promise<Hop> {
    const { tenantId, epoch } = this.tenant;
    const target = await arrivalIn(to, this.#secrets, model, { tenantId, epoch: epoch + 1, number });
    if (model !== 'shared') await this.#secrets.put(this.tenant.roleName, this.tenant.login);
    return hopOf(kind, tenantId, placeOf(this.database, this.tenant), target, number);
  }

  /** The last step of a reshape, under the longest pause: how quick this machine is, is not the question. */
  cutOver(log: StepLog): Promise<void> {
    return withinPause(1_000, () => log.run(this.code.cutOverReshape));
  }

  owner(database: TestDatabase = this.database): Promise<pg.Client> {
    return database.connect('owner');
  }

  /** Makes a schema for the tenant, with a role that may be there already. */
  async addSchema(database: TestDatabase, { schemaName, roleName }: TenantPlacement): Promise<void> {
    const { tenantId } = this.tenant;
    const owner = await this.owner(database);
    const { password } = this.#loginOf(database, roleName);
    await createTenantSchema(owner, { tenantId, schemaName, roleName, password, connectionLimit: 20 });
  }

  async place(database: TestDatabase, placement: TenantPlacement): Promise<void> {
    await placeTenant(await this.owner(database), placement);
  }

  /** A client whose transaction has entered. @throws what `tenancy.enter` says. */
  async enter(
    place: Pick<TenantPlacement, 'epoch' | 'roleName'> = this.tenant,
    database: TestDatabase = this.database,
  ): Promise<Visitor> {
    const client = await database.connect(this.#loginOf(database, place.roleName));
    await enterTenant(client, { tenantId: this.tenant.tenantId, epoch: place.epoch }, 'write');
    return new Visitor(client, this.#acknowledged);
  }

  /** One write that is acknowledged. */
  async write(
    work: (visitor: Visitor) => Promise<void>,
    ...where: Parameters<Stage['enter']>
  ): Promise<void> {
    const visitor = await this.enter(...where);
    await work(visitor);
    await visitor.commit();
  }

  /** Waits until somebody waits for an advisory key: a mover for the exclusive one, or others for the shared one. */
  async somebodyWaits(mode: 'exclusive' | 'shared', or: () => boolean = () => false): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (!or()) {
      const { rowCount } = await this.#watcher.query(
        `select from pg_locks where locktype = 'advisory' and not granted and mode = $1
         and database = (select oid from pg_database where datname = current_database())`,
        [mode === 'exclusive' ? 'ExclusiveLock' : 'ShareLock'],
      );
      if (rowCount !== 0) return;
      if (performance.now() > deadline) throw new Error(`nobody waits for a key (${mode})`);
    }
  }

  /** Waits until a mover either has ended, or waits for a key that somebody holds. @returns whether it waits. */
  async waitsOrEnds(mover: Promise<unknown>): Promise<boolean> {
    let ended = false;
    const end = () => {
      ended = true;
    };
    mover.then(end, end);
    await this.somebodyWaits('exclusive', () => ended);
    return !ended;
  }

  /** At the place where the tenant was set. */
  isFenced(): Promise<boolean> {
    return readPlacement(this.#watcher, this.tenant.tenantId).then(
      (placement) => placement?.state === 'fenced',
    );
  }

  placement(database: TestDatabase = this.database) {
    return this.owner(database).then((owner) => readPlacement(owner, this.tenant.tenantId));
  }

  /** How what the tenant's clients find at home differs from what was acknowledged to them. */
  async violations(home: TestDatabase = this.database): Promise<string[]> {
    const place = (await this.placement(home))!;
    const client = await home.connect(this.#loginOf(home, place.role_name));
    const found = await asTenant(client, { tenantId: this.tenant.tenantId, epoch: place.epoch }, 'read', () =>
      client.query<{ email: string; first_name: string }>('SELECT email, first_name FROM employees'),
    );
    const atHome = new Map(found.rows.map(({ email, first_name }) => [email, first_name]));
    const names = new Set([...this.#acknowledged.keys(), ...atHome.keys()]);
    return [...names].flatMap((name) => {
      const [expected, actual] = [this.#acknowledged.get(name) ?? null, atHome.get(name) ?? null];
      return expected === actual ? [] : [`${name}: acknowledged was ${expected}, at home is ${actual}`];
    });
  }

  #loginOf(database: TestDatabase, roleName: string): Login {
    if (roleName === this.tenant.roleName) return this.tenant.login;
    const starter = database.login('starter');
    return roleName === starter.user ? starter : { user: roleName, password: `password of ${roleName}` };
  }
}

/** A client inside a transaction of the tenant. */
export class Visitor {
  readonly #client: pg.Client;
  readonly #acknowledged: Map<string, string | null>;
  readonly #written = new Map<string, string | null>();

  constructor(client: pg.Client, acknowledged: Map<string, string | null>) {
    this.#client = client;
    this.#acknowledged = acknowledged;
  }

  async add(email: string, name: string): Promise<void> {
    await this.#client.query(`INSERT INTO employees (email, first_name, last_name) VALUES ($1, $2, 'X')`, [
      email,
      name,
    ]);
    this.#written.set(email, name);
  }

  async rename(email: string, name: string): Promise<void> {
    await this.#client.query('UPDATE employees SET first_name = $2 WHERE email = $1', [email, name]);
    this.#written.set(email, name);
  }

  async remove(email: string): Promise<void> {
    await this.#client.query('DELETE FROM employees WHERE email = $1', [email]);
    this.#written.set(email, null);
  }

  /** From here on the writes are acknowledged. */
  async commit(): Promise<void> {
    await this.#client.query('COMMIT');
    for (const [email, name] of this.#written) this.#acknowledged.set(email, name);
  }
}
