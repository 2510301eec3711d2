import { MeteredWorld } from '../promotion/metered-world.ts';
import type { RegistryOverPostgres } from '../registry-over-postgres.ts';
import { AlertRuns } from './alert-runs.ts';

/** Tenants in real databases, and runs of alerts over them. A tenant of one test is no tenant of another. */
export class AlertWorld extends AlertRuns {
  readonly metered: MeteredWorld;

  private constructor(metered: MeteredWorld) {
    super(metered.registry, { surveysDatabases: true });
    this.metered = metered;
  }

  static async create(): Promise<AlertWorld> {
    const world = new AlertWorld(await MeteredWorld.create());
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
