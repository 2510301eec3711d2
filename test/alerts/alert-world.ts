import { MeteredWorld } from '../promotion/metered-world.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { AlertRuns } from './alert-runs.ts';

/** Tenants in real databases, and runs of alerts over them. A tenant of one test is no tenant of another. */
export class AlertWorld extends AlertRuns {
  readonly metered: MeteredWorld;

  private constructor(metered: MeteredWorld, surveysDatabases: boolean) {
    super(metered.registry, { surveysDatabases });
    this.metered = metered;
  }

  /** @param options `surveysDatabases`: as of {@link AlertRuns}. */
  static async create({ surveysDatabases = true } = {}): Promise<AlertWorld> {
    const world = new AlertWorld(await MeteredWorld.create(), surveysDatabases);
    await world.metered.addCell('us-1');
    return world;
  }

  get registry(): RegistryOverPostgres {
    return this.metered.registry;
  }

  drop(): Promise<void> {
    return this.metered.drop();
  }
}
