import { DescribeDBProxiesCommand, RDSClient } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { reconcileProxyAuth } from '../../functions/places/proxy-auth.ts';
import { type ControlPlane, startControlPlane } from '../onboarding/control-plane.ts';
import { addPlainTenant, openHop, place } from './target-hop.ts';

let plane: ControlPlane;
let rds: RDSClient;
let cellId: string;
let otherCellId: string;
let tenantId: string;

beforeAll(async () => {
  plane = await startControlPlane();
  rds = new RDSClient({});
});
afterAll(() => plane?.stop());
beforeEach(async () => {
  cellId = await plane.addCell();
  otherCellId = await plane.addCell();
  tenantId = await addPlainTenant(plane.master);
});

/** What the proxy takes besides the starter secret, once it is reconciled. */
async function accepted(ofCell = cellId): Promise<string[]> {
  await reconcileProxyAuth(plane.registry, ofCell);
  const { DBProxies } = await rds.send(new DescribeDBProxiesCommand({ DBProxyName: ofCell }));
  const [starter, ...others] = DBProxies![0]!.Auth!.map((auth) => auth.SecretArn!);
  expect(starter).toContain('/starter-');
  return others.sort();
}

/** The routing row of a Business tenant. */
async function route(inCell: string, secretArn: string): Promise<void> {
  await plane.master.query(
    `INSERT INTO tenant_database_routing (tenant_id, database_host, database_port, database_name, isolation_model,
                                          cell_id, secret_arn, epoch, region)
     VALUES (:tenantId::uuid, 'h', 5432, 'strata', 'schema', :inCell, :secretArn, 1, 'us')`,
    { tenantId, inCell, secretArn },
  );
}

test('both cells of an open hop take its secrets, until its old place is cleaned up', async () => {
  await route(cellId, 'arn:old');
  const hop = await openHop(plane.registry, tenantId, {
    source: place({ cellId, secretArn: 'arn:old' }),
    target: place({ cellId: otherCellId, secretArn: 'arn:new' }),
  });
  for (const state of ['working', 'committed', 'settled', 'rolling-back', 'mismatch']) {
    await hop.setState(state);
    expect([await accepted(), await accepted(otherCellId)], state).toEqual([['arn:old'], ['arn:new']]);
  }
  // As settling leaves the registry: only the hop still knows the old place.
  await plane.master.query(
    `UPDATE tenant_database_routing SET cell_id = :otherCellId, secret_arn = 'arn:new', epoch = 2
     WHERE tenant_id = :tenantId::uuid`,
    { tenantId, otherCellId },
  );
  expect([await accepted(), await accepted(otherCellId)]).toEqual([['arn:old'], ['arn:new']]);
  await hop.setState('cleaned');
  expect([await accepted(), await accepted(otherCellId)]).toEqual([[], ['arn:new']]);
});

test('a hop that was rolled back leaves nothing in the list', async () => {
  await route(cellId, 'arn:old');
  const hop = await openHop(plane.registry, tenantId, {
    source: place({ cellId, secretArn: 'arn:old' }),
    target: place({ cellId, secretArn: 'arn:new' }),
  });
  expect(await accepted()).toEqual(['arn:new', 'arn:old']);
  await hop.setState('rolled-back');
  expect(await accepted()).toEqual(['arn:old']);
});

test('hops that share a place name its secret once', async () => {
  await route(cellId, 'arn:old');
  const source = place({ cellId, secretArn: 'arn:old' });
  await openHop(plane.registry, tenantId, { source, target: place({ cellId, secretArn: 'arn:new' }) });
  await plane.master.query(
    `INSERT INTO tenant_move_hops (move_id, hop_index, tenant_id, kind, source, target, suffix, state)
     SELECT move_id, 1, tenant_id, kind, target, source, '3a1', 'settled'
     FROM tenant_move_hops WHERE tenant_id = :tenantId::uuid`,
    { tenantId },
  );
  expect(await accepted()).toEqual(['arn:new', 'arn:old']);
});

test('shared and dedicated places, and secrets that are yet to be made, are not for the cell’s list', async () => {
  await openHop(plane.registry, tenantId, {
    source: place({ cellId, isolationModel: 'shared', secretArn: 'arn:of-the-cell' }),
    target: place({ cellId, secretArn: null }),
  });
  await openHop(plane.registry, await addPlainTenant(plane.master), {
    source: place({ cellId, secretArn: 'arn:leaving' }),
    target: place({ isolationModel: 'dedicated', secretArn: 'arn:of-the-stack' }),
  });
  expect(await accepted()).toEqual(['arn:leaving']);
});

test('while a password is replaced, the role and its stand-in are accepted, whichever the registry names', async () => {
  await route(cellId, 'arn:role');
  const { rotationId } = await plane.master
    .query<{ rotationId: string }>(
      `INSERT INTO credential_rotations (kind, subject, tenant_id, cell_id, region, role_name, secret, stand_in_role,
                                         stand_in_secret_arn, started_by)
       VALUES ('tenant', :subject, :tenantId::uuid, :cellId, 'us', 'r', 'arn:role', 'r_s1', 'arn:stand-in', 'test')
       RETURNING rotation_id AS "rotationId"`,
      { subject: `tenant ${tenantId}`, tenantId, cellId },
    )
    .then(([row]) => row!);
  const end = (change: string) =>
    plane.master.query(`UPDATE credential_rotations SET ${change} WHERE rotation_id = :rotationId::uuid`, {
      rotationId,
    });
  expect(await accepted()).toEqual(['arn:role', 'arn:stand-in']);
  await plane.master.query(
    `UPDATE tenant_database_routing SET secret_arn = 'arn:stand-in' WHERE tenant_id = :tenantId::uuid`,
    { tenantId },
  );
  expect(await accepted()).toEqual(['arn:role', 'arn:stand-in']);
  expect(await accepted(otherCellId)).toEqual([]);
  await plane.master.query(
    `UPDATE tenant_database_routing SET secret_arn = 'arn:role' WHERE tenant_id = :tenantId::uuid`,
    { tenantId },
  );
  await end('stand_in_secret_arn = NULL');
  expect(await accepted()).toEqual(['arn:role']);
  await end(`status = 'succeeded', finished_at = now()`);
  expect(await accepted()).toEqual(['arn:role']);
});
