/** A tenant that has left its dedicated database, which is a real cluster in a real stack, behind a relay of AWS calls. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, ListStacksCommand } from '@aws-sdk/client-cloudformation';
import {
  DescribeDBClusterSnapshotsCommand,
  DescribeDBClustersCommand,
  DescribeDBProxiesCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import { ListSecretsCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { expect } from 'vitest';
import type { DatabaseSize } from '../../functions/contracts/database-size.ts';
import { deleteLeftDatabase } from '../../functions/moves/delete-left-database.ts';
import { dedicatedStackName } from '../../functions/placement/tenant-names.ts';
import { driveDedicatedStack, type StackProgress } from '../../functions/places/dedicated-stack.ts';
import { type AwsRelay, startAwsRelay } from '../onboarding/aws-relay.ts';
import { type ControlPlane, startControlPlane } from '../onboarding/control-plane.ts';
import { databaseTemplate } from '../onboarding/database-template.ts';
import { addPlainTenant, type OpenHop, openHop, place } from './target-hop.ts';

const templateUrl = 'https://bucket.s3.us-east-1.amazonaws.com/cluster.json';
const executionArn = 'arn:aws:states:us-east-1:000000000000:execution:tenant-move-cleanup:test';
/** Of the tenant while it lived there. */
export const EPOCH = 3;

export class LeftDatabaseWorld {
  readonly plane: ControlPlane;
  /** Between this process and AWS, but for what the test itself looks at. */
  readonly relay: AwsRelay;
  readonly #directory: string;

  private constructor(plane: ControlPlane, relay: AwsRelay, directory: string) {
    this.plane = plane;
    this.relay = relay;
    this.#directory = directory;
  }

  static async start(): Promise<LeftDatabaseWorld> {
    let relay!: AwsRelay;
    const plane = await startControlPlane(async (awsUrl) => {
      relay = await startAwsRelay(awsUrl);
      return relay.url;
    });
    const directory = mkdtempSync(join(tmpdir(), 'strata-template-'));
    const file = join(directory, 'cluster.json');
    writeFileSync(file, JSON.stringify(databaseTemplate));
    plane.serveTemplate(templateUrl, file);
    return new LeftDatabaseWorld(plane, relay, directory);
  }

  async stop(): Promise<void> {
    await this.relay.stop();
    await this.plane.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get settings() {
    return {
      templateUrl,
      roleArn: this.plane.serviceRoleArn,
      deletionProtection: true,
      parameters: { SubnetIds: 'subnet-1,subnet-2' },
      sizes: { large: {} },
    };
  }

  /** Of a client that the relay does not see. */
  get aws() {
    return { endpoint: this.plane.awsUrl };
  }

  /** A tenant whose dedicated database stands, with a settled and cleaned up hop away from it. */
  async addTenant(): Promise<LeftDatabase> {
    this.relay.fate = () => 'passed';
    const tenantId = await addPlainTenant(this.plane.master);
    const launch = {
      tenantId,
      slug: 'left',
      tier: 'enterprise',
      roleName: `role_${EPOCH}`,
      size: 'medium',
    } as const;
    let progress: StackProgress | undefined;
    while (!progress?.ready) progress = (await driveDedicatedStack(launch, this.settings, progress)).progress;
    const left = new LeftDatabase(this, tenantId);
    left.moveId = await left.leave(EPOCH);
    return left;
  }
}

export class LeftDatabase {
  readonly tenantId: string;
  readonly stackName: string;
  readonly #world: LeftDatabaseWorld;
  /** Of the move by which the tenant left. */
  moveId = '';

  constructor(world: LeftDatabaseWorld, tenantId: string) {
    this.#world = world;
    this.tenantId = tenantId;
    this.stackName = dedicatedStackName(tenantId);
  }

  #dedicated(epoch: number) {
    return place({ isolationModel: 'dedicated', stackName: this.stackName, epoch });
  }

  /** A settled and cleaned up hop from the dedicated database to a cell, and its ended move. @returns the move's id */
  async leave(epoch: number): Promise<string> {
    const { master } = this.#world.plane;
    const hop = { source: this.#dedicated(epoch), target: place({ epoch: epoch + 1 }) };
    await openHop(master, this.tenantId, hop);
    const [row] = await master.query<{ move_id: string }>(
      `UPDATE tenant_move_hops SET state = 'settled', result = '{"cleanedAt": "2026-01-01T00:00:00.000Z"}'
       WHERE tenant_id = :tenantId::uuid AND state = 'working' RETURNING move_id::text`,
      { tenantId: this.tenantId },
    );
    await master.query(
      `UPDATE tenant_moves SET status = 'succeeded', finished_at = now(), report = '{"rows": 1}'
       WHERE move_id = :moveId::uuid`,
      { moveId: row!.move_id },
    );
    return row!.move_id;
  }

  /** A move to a dedicated database of that size, recorded as moves are, whose hop is open. */
  async comeBack(databaseSize: DatabaseSize = 'medium'): Promise<OpenHop> {
    const { master } = this.#world.plane;
    const hop = await openHop(master, this.tenantId, {
      source: place({ epoch: EPOCH + 1 }),
      target: {
        ...this.#dedicated(EPOCH + 2),
        stackName: dedicatedStackName(this.tenantId, databaseSize),
        databaseSize,
        host: null,
        port: null,
        writerHost: null,
        roleName: 'role_5',
      },
    });
    await master.query(
      `UPDATE tenant_moves
       SET plan = jsonb_build_array(jsonb_build_object('kind', 'relocate', 'from', jsonb_build_object(), 'to',
         jsonb_build_object('isolationModel', 'dedicated', 'region', 'us', 'databaseSize', :databaseSize::text)))
       WHERE tenant_id = :tenantId::uuid AND status = 'running'`,
      { tenantId: this.tenantId, databaseSize },
    );
    return hop;
  }

  /** One call, as of a workflow's state; it looks once and does not wait. */
  once(moveId = this.moveId): Promise<{ done: boolean }> {
    const hop = { moveId, hopIndex: 0, executionArn };
    return deleteLeftDatabase(this.#world.plane.registry, hop, performance.now());
  }

  async untilDone(moveId = this.moveId): Promise<void> {
    await expect.poll(() => this.once(moveId), { timeout: 20_000, interval: 20 }).toEqual({ done: true });
  }

  async hop() {
    const [row] = await this.#world.plane.master.query<{
      state: string;
      result: string;
      report: string | null;
    }>(
      `SELECT h.state, h.result::text AS result, m.report::text AS report
       FROM tenant_move_hops h JOIN tenant_moves m USING (move_id) WHERE h.move_id = :moveId::uuid`,
      { moveId: this.moveId },
    );
    return { state: row!.state, result: JSON.parse(row!.result), report: JSON.parse(row!.report ?? 'null') };
  }

  /** What is there of the tenant's dedicated databases. */
  async remains() {
    const { aws } = this.#world;
    const rds = new RDSClient(aws);
    const own = (name: string | undefined) => name?.startsWith(this.stackName);
    const { DBClusters } = await rds.send(new DescribeDBClustersCommand({}));
    const { DBProxies } = await rds.send(new DescribeDBProxiesCommand({}));
    const { DBClusterSnapshots } = await rds.send(new DescribeDBClusterSnapshotsCommand({}));
    const { StackSummaries } = await new CloudFormationClient(aws).send(new ListStacksCommand({}));
    const { SecretList } = await new SecretsManagerClient(aws).send(
      new ListSecretsCommand({ MaxResults: 100 }),
    );
    return {
      clusters: DBClusters!.filter((one) => own(one.DBClusterIdentifier)).map((one) => one.Status),
      proxies: DBProxies!.filter((one) => own(one.DBProxyName)).length,
      snapshots: DBClusterSnapshots!.flatMap(({ DBClusterSnapshotIdentifier: name, Status }) =>
        own(name) ? [`${name!.slice(this.stackName.length + 1)} ${Status}`] : [],
      ),
      stacks: StackSummaries!.filter((one) => own(one.StackName)).map((one) => one.StackStatus),
      secrets: SecretList!.filter(({ Name }) => Name!.includes(this.tenantId)).length,
    };
  }
}

export const WHOLE = {
  clusters: ['available'],
  proxies: 1,
  secrets: 3,
  snapshots: [] as string[],
  stacks: ['CREATE_COMPLETE'],
};
export const DELETED = {
  clusters: [],
  proxies: 0,
  secrets: 0,
  stacks: ['DELETE_COMPLETE'],
  snapshots: [`e${EPOCH} available`],
};
