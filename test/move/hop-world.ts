/**
 * What a step of a move gets, without a registry: hops between places in test databases, and a context that remembers
 * what the step told it. Secrets are in the local Secrets Manager; the name of a role is the name of its secret.
 */
import { randomUUID } from 'node:crypto';
import tls from 'node:tls';
import { inject } from 'vitest';
import type { Hop, HopContext, PhaseOutcome, PhaseProgress } from '../../functions/moves/hop.ts';
import type { Place } from '../../functions/places/place.ts';
import type { TestDatabase, TestTenant } from '../test-database.ts';
import { type LocalSecrets, startLocalSecrets } from './local-secrets.ts';

export const OWNER_SECRET = 'owner';

/** Starts Secrets Manager, with the logins that every test database has, and trusts the test server's certificate. */
export async function startHopWorld(): Promise<LocalSecrets> {
  const { certificate, logins } = inject('databaseServer');
  tls.setDefaultCACertificates([...tls.rootCertificates, certificate]);
  const secrets = await startLocalSecrets();
  await secrets.put(OWNER_SECRET, logins.owner);
  await secrets.put(logins.starter.user, logins.starter);
  return secrets;
}

/** A place in a test database; requests and movers reach it at the same address. */
export function placeIn(
  { name, server }: TestDatabase,
  fields: Pick<Place, 'isolationModel' | 'schemaName' | 'roleName' | 'epoch'> & Partial<Place>,
): Place {
  return {
    cellId: fields.isolationModel === 'dedicated' ? null : 'us-1',
    region: 'us',
    host: server.host,
    port: server.port,
    writerHost: server.host,
    readerHost: null,
    clusterArn: null,
    database: name,
    secretArn: fields.roleName,
    ownerSecret: OWNER_SECRET,
    stackName: null,
    poolSize: 4,
    ...fields,
  };
}

/** Where the tenant was placed by the test. */
export function placeOf(database: TestDatabase, tenant: TestTenant): Place {
  const { isolationModel, schemaName, roleName, epoch } = tenant;
  return placeIn(database, { isolationModel, schemaName, roleName, epoch });
}

/** The place that an attempt makes for a tenant that comes from `source`, with its secret. */
export async function arrivalIn(
  database: TestDatabase,
  secrets: LocalSecrets,
  isolationModel: Place['isolationModel'],
  { tenantId, epoch, number = 1 }: { tenantId: string; epoch: number; number?: number },
): Promise<Place> {
  if (isolationModel === 'shared') {
    const roleName = database.server.logins.starter.user;
    return placeIn(database, { isolationModel, schemaName: 'shared', roleName, epoch });
  }
  const name = `tenant_${tenantId.replaceAll('-', '')}_e${epoch}a${number}`;
  await secrets.put(name, { user: name, password: `password of ${name}` });
  return placeIn(database, { isolationModel, schemaName: name, roleName: name, epoch });
}

export function hopOf(kind: Hop['kind'], tenantId: string, source: Place, target: Place, number = 1): Hop {
  return {
    moveId: randomUUID(),
    index: 0,
    kind,
    suffix: `${target.epoch}a${number}`,
    source,
    target,
    attempt: { tenantId, epoch: source.epoch, attemptId: randomUUID() },
  };
}

/** The contexts of one hop's steps, which share what was kept. */
export class StepLog {
  hop: Hop;
  readonly progress: PhaseProgress[] = [];
  readonly kept: Record<string, unknown> = {};
  /** Run before a step tells anything; throws where its process is dead. */
  beforeTelling: () => void = () => {};
  /** Run with every showing of progress. */
  onProgress: (update: PhaseProgress) => void | Promise<void> = () => {};

  constructor(hop: Hop) {
    this.hop = hop;
  }

  /** As a new invocation would get it: what is kept later, it does not see. */
  context(ms = 60_000): HopContext {
    const log = this;
    return {
      // Also what this very step amends.
      get hop() {
        return log.hop;
      },
      deadline: performance.now() + ms,
      kept: structuredClone(this.kept),
      progress: async (update) => {
        this.beforeTelling();
        this.progress.push(update);
        await this.onProgress(update);
      },
      keep: async (facts) => {
        this.beforeTelling();
        Object.assign(this.kept, structuredClone(facts));
      },
      amendTarget: async (found) => {
        this.hop = { ...this.hop, target: { ...this.hop.target, ...found } };
      },
    };
  }

  /** Calls the step until it is done, as the workflow does. */
  async run(
    step: (context: HopContext, cursor?: unknown) => Promise<PhaseOutcome>,
    ms?: number,
  ): Promise<void> {
    let cursor: unknown;
    for (;;) {
      const outcome = await step(this.context(ms), cursor);
      if (outcome.done) return;
      cursor = outcome.cursor;
    }
  }
}
