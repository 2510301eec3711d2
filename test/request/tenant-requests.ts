import type { Context } from 'aws-lambda';
import { assessmentRoutes } from '../../functions/api/assessments/assessment-routes.ts';
import { certificationRoutes } from '../../functions/api/assessments/certification-routes.ts';
import { resultRoutes } from '../../functions/api/assessments/result-routes.ts';
import { operations as auditOperations } from '../../functions/api/audit/handler.ts';
import { employeeRoutes } from '../../functions/api/people/employee-routes.ts';
import { teamMemberRoutes, teamRoutes } from '../../functions/api/people/team-routes.ts';
import { analyticsRoutes } from '../../functions/api/skills/analytics-routes.ts';
import { frameworkRoutes } from '../../functions/api/skills/framework-routes.ts';
import { gapRoutes, roleRoutes } from '../../functions/api/skills/role-routes.ts';
import { employeeSkillRoutes, skillRoutes } from '../../functions/api/skills/skill-routes.ts';
import type { ResolutionDependencies, TenantContext } from '../../functions/http/resolve-tenant.ts';
import { type TenantRoute, tenantApi } from '../../functions/http/tenant-api.ts';
import {
  createWorld,
  type Model,
  type World,
  type WorldOptions,
  type WorldTenant,
} from '../isolation/tenant-world.ts';
import { type ApiEventParts, apiEvent } from '../regions/api-event.ts';

export const MODELS: readonly Model[] = ['shared', 'schema', 'dedicated'];
export const ADMIN = 'admin@tenant.test';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  /** As it was sent. */
  readonly text: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape.
  readonly body: any;
}

export interface RequestParts extends Omit<Partial<ApiEventParts>, 'body' | 'routeKey'> {
  readonly body?: object;
  /** Sent as it is, instead of `body` as JSON. */
  readonly raw?: string;
  readonly isBase64Encoded?: boolean;
}

const itemsOf = (
  path: string,
  id: string,
  routes: ReturnType<typeof asRoutes>,
): Record<string, TenantRoute> => ({
  [`GET ${path}`]: routes.list,
  [`POST ${path}`]: routes.create,
  [`GET ${path}/{${id}}`]: routes.read,
  [`PATCH ${path}/{${id}}`]: routes.update,
  [`DELETE ${path}/{${id}}`]: routes.remove,
});
const asRoutes = (routes: typeof employeeRoutes) => routes;

/** What one execution environment has of its own. */
export interface Execution {
  readonly caches?: ResolutionDependencies['caches'];
  /** How long the directory's answers are fresh. */
  readonly freshForMs?: number | undefined;
}

/** The data plane's chain over tenants of all three models, called as API Gateway calls it. */
export class TenantRequests {
  readonly world: World;
  readonly #handler: ReturnType<typeof tenantApi>;

  private constructor(world: World, { caches, freshForMs = 60_000 }: Execution = {}) {
    this.world = world;
    const { directory, router } = world.container({ freshForMs });
    const routes = {
      ...itemsOf('/employees', 'employeeId', employeeRoutes),
      ...itemsOf('/teams', 'teamId', teamRoutes),
      ...itemsOf('/teams/{teamId}/members', 'employeeId', teamMemberRoutes),
      ...itemsOf('/skills', 'skillId', skillRoutes),
      ...itemsOf('/employees/{employeeId}/skills', 'skillId', employeeSkillRoutes),
      'GET /analytics/skills-summary': analyticsRoutes.skillsSummary,
      ...itemsOf('/frameworks', 'frameworkId', frameworkRoutes),
      'POST /frameworks/import': frameworkRoutes.importWhole,
      ...itemsOf('/roles', 'roleId', roleRoutes),
      'GET /employees/{employeeId}/gaps': gapRoutes.read,
      ...itemsOf('/assessments', 'assessmentId', assessmentRoutes),
      ...itemsOf('/assessments/{assessmentId}/results', 'resultId', resultRoutes),
      ...itemsOf('/certifications', 'certificationId', certificationRoutes),
      ...auditOperations,
    };
    this.#handler = tenantApi(routes, () => ({ directory, router, domains: [], caches }));
  }

  /** @param options `patienceMs`: how long a request waits for a fenced tenant. */
  static async start({
    caches,
    freshForMs,
    ...options
  }: Pick<WorldOptions, 'patienceMs'> & Execution = {}): Promise<TenantRequests> {
    const world = await createWorld(1, { pooled: false, ...options });
    for (const { tenantId } of world.tenants) {
      await world.registry.query(
        `INSERT INTO tenant_users (tenant_id, email, role) VALUES (:tenantId::uuid, :email, 'admin')`,
        { tenantId, email: ADMIN },
      );
    }
    return new TenantRequests(world, { caches, freshForMs });
  }

  /** The same tenants as another execution environment serves them, whose caches are empty. */
  restarted(execution: Execution = {}): TenantRequests {
    return new TenantRequests(this.world, execution);
  }

  tenant(model: Model): WorldTenant {
    return this.world.tenants.find(({ isolationModel }) => isolationModel === model) as WorldTenant;
  }

  /** @param route `PATCH /employees/{employeeId}` */
  async call(
    model: Model,
    route: string,
    { raw, isBase64Encoded, ...parts }: RequestParts = {},
  ): Promise<Answer> {
    const claims = { sub: 'u', email: ADMIN, tenant_id: this.tenant(model).tenantId };
    const event = apiEvent({ routeKey: route, claims, ...parts });
    const sent = {
      ...event,
      ...(raw === undefined ? {} : { body: raw }),
      isBase64Encoded: isBase64Encoded ?? false,
    };
    const answer = await this.#handler(sent, {} as TenantContext & Context);
    return {
      status: answer.statusCode ?? 0,
      headers: answer.headers ?? {},
      text: answer.body,
      body: answer.body ? JSON.parse(answer.body) : undefined,
    };
  }

  /** An employee's id. */
  async addEmployee(model: Model, fields: object = {}): Promise<string> {
    const body = { ...newEmployee(), ...fields };
    const answer = await this.call(model, 'POST /employees', { body });
    if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`);
    return answer.body.employeeId;
  }
}

let counter = 0;
export function newEmployee(): { email: string; firstName: string; lastName: string } {
  counter += 1;
  return { email: `e${counter}@tenant.test`, firstName: 'Ada', lastName: 'Lovelace' };
}
