/**
 * Writers of one tenant that change rows in every way a move could stumble over, through the router of production, and a
 * ledger of what was acknowledged. Each writer has rows of its own, so that it knows what they must be in the end.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import type { TenantAccess } from '../../functions/placement/tenant-router.ts';

interface Person {
  id: string;
  email: string;
  manager: string | null;
  version: number;
  /** Of which teams a member. */
  teams: Set<string>;
}

export class TableLoad {
  /** In words; empty is what a test expects. */
  readonly violations: string[] = [];
  readonly #access: TenantAccess;
  readonly #people: Map<string, Person>[] = [];
  readonly #logs: string[] = [];
  readonly #clients: Promise<void>[] = [];
  #stopping = false;
  writes = 0;
  slowestMs = 0;

  constructor(access: TenantAccess) {
    this.#access = access;
  }

  start(writers = 4, restMs = 1): void {
    for (let n = 0; n < writers; n++)
      this.#clients.push(this.#client(`w${n}-${randomUUID().slice(0, 8)}`, restMs));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  /** Resolves when that many more writes were acknowledged. */
  async written(count: number): Promise<void> {
    const goal = this.writes + count;
    while (this.writes < goal && !this.#stopping) await delay(2);
  }

  async #client(name: string, restMs: number): Promise<void> {
    const mine = new Map<string, Person>();
    this.#people.push(mine);
    const team = randomUUID();
    await this.#access.batch('write', [
      tenantSql.insertInto('teams').values({ team_id: team, team_name: name }),
    ]);
    for (let n = 0; !this.#stopping; n++) {
      const started = performance.now();
      try {
        await this.#act(mine, team, `${name}-${n}`);
      } catch (error) {
        this.violations.push(
          `${name}-${n}: ${error instanceof Error ? `${error.name} ${error.message}` : error}`,
        );
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - started);
      this.writes += 1;
      await delay(restMs);
    }
  }

  async #act(mine: Map<string, Person>, team: string, name: string): Promise<void> {
    const [one, other] = pick(mine);
    const choice = Math.random();
    if (!one || !other || choice < 0.35) return this.#hire(mine, team, name);
    if (choice < 0.55) return this.#promote(one, other);
    if (choice < 0.75) return this.#swap(one, other);
    if (choice < 0.85) return this.#replace(mine, one, name);
    return this.#dismiss(mine, one);
  }

  async #hire(mine: Map<string, Person>, team: string, name: string): Promise<void> {
    const person = {
      id: randomUUID(),
      email: `${name}@load.test`,
      manager: null,
      version: 0,
      teams: new Set([team]),
    };
    const log = randomUUID();
    await this.#access.batch('write', [
      employee(person),
      tenantSql.insertInto('team_members').values({ team_id: team, employee_id: person.id }),
      tenantSql.insertInto('audit_log').values({ log_id: log, action: 'hire', resource_type: 'employee' }),
    ]);
    mine.set(person.id, person);
    this.#logs.push(log);
  }

  async #promote(one: Person, other: Person): Promise<void> {
    const version = other.version + 1;
    await this.#access.batch('write', [
      set(other.id, { manager_id: one.id === other.id ? null : one.id, first_name: `v${version}` }),
    ]);
    Object.assign(other, { version, manager: one.id === other.id ? null : one.id });
  }

  /** Two values of a unique key change places, by way of a third. */
  async #swap(one: Person, other: Person): Promise<void> {
    if (one === other) return;
    await this.#access.batch('write', [
      set(one.id, { email: `swapping ${one.id}` }),
      set(other.id, { email: one.email }),
      set(one.id, { email: other.email }),
    ]);
    [one.email, other.email] = [other.email, one.email];
  }

  /** A unique value goes over to a new row in one transaction. */
  async #replace(mine: Map<string, Person>, gone: Person, _name: string): Promise<void> {
    const person = { ...gone, id: randomUUID(), manager: null, version: 0, teams: new Set<string>() };
    await this.#access.batch('write', [
      tenantSql.deleteFrom('employees').where('employee_id', '=', gone.id),
      employee(person),
    ]);
    this.#forget(mine, gone);
    mine.set(person.id, person);
  }

  async #dismiss(mine: Map<string, Person>, gone: Person): Promise<void> {
    await this.#access.batch('write', [tenantSql.deleteFrom('employees').where('employee_id', '=', gone.id)]);
    this.#forget(mine, gone);
  }

  #forget(mine: Map<string, Person>, gone: Person): void {
    mine.delete(gone.id);
    for (const person of mine.values()) if (person.manager === gone.id) person.manager = null;
  }

  /** Compares the tenant's rows with the ledger: all that was acknowledged, exactly once, and nothing else of ours. */
  async verify(access: TenantAccess = this.#access): Promise<string[]> {
    const [employees, members, logs] = await access.batch('read', [
      tenantSql
        .selectFrom('employees')
        .select(['employee_id', 'email', 'manager_id', 'first_name'])
        .where('email', 'like', '%@load.test'),
      tenantSql.selectFrom('team_members').select(['team_id', 'employee_id']),
      tenantSql.selectFrom('audit_log').select('log_id').where('action', '=', 'hire'),
    ]);
    const people = this.#people.flatMap((mine) => [...mine.values()]);
    const expected = people.map((p) => `${p.id} ${p.email} ${p.manager} v${p.version}`);
    const found = employees.map((e) => `${e.employee_id} ${e.email} ${e.manager_id} ${e.first_name}`);
    const memberships = people.flatMap(({ id, teams }) => [...teams].map((team) => `${team} ${id}`));
    return [
      ...difference('employee', expected, found),
      ...difference(
        'member',
        memberships,
        members.map((m) => `${m.team_id} ${m.employee_id}`),
      ),
      ...difference(
        'audit entry',
        this.#logs,
        logs.map(({ log_id }) => log_id),
      ),
    ];
  }
}

const employee = ({ id, email, version }: Person) =>
  tenantSql
    .insertInto('employees')
    .values({ employee_id: id, email, first_name: `v${version}`, last_name: 'L' });

const set = (id: string, values: { email?: string; manager_id?: string | null; first_name?: string }) =>
  tenantSql.updateTable('employees').set(values).where('employee_id', '=', id);

function pick(mine: Map<string, Person>): (Person | undefined)[] {
  const all = [...mine.values()];
  const any = () => all[Math.floor(Math.random() * all.length)];
  return [any(), any()];
}

function difference(what: string, expected: string[], found: string[]): string[] {
  const [wanted, there] = [new Set(expected), new Set(found)];
  return [
    ...expected.filter((each) => !there.has(each)).map((each) => `${what} lost: ${each}`),
    ...found.filter((each) => !wanted.has(each)).map((each) => `${what} unexpected: ${each}`),
    ...(there.size === found.length ? [] : [`${what}: duplicates`]),
  ];
}
