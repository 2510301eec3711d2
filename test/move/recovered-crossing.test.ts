/** A Starter tenant that has crossed a border, and whose execution dies before it has started what is left to do there. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { recoverMoves } from '../../functions/moves/recover-moves.ts';
import { getMove } from '../../functions/registry/moves.ts';
import { BorderWorld } from './border-world.ts';
import { dead } from './move-registry.ts';

interface Start {
  readonly name: string;
  readonly stateMachineArn: string;
  readonly input: string;
}

let world: BorderWorld;
/** What Step Functions is asked to start, and what it refuses with. */
const starts: Start[] = [];
let refusal: string | undefined;
const states = createServer(async (request, response) => {
  if (refusal) response.writeHead(400).end(JSON.stringify({ __type: refusal }));
  else {
    const start = (await json(request)) as Start;
    starts.push(start);
    response.end(JSON.stringify({ executionArn: `${start.stateMachineArn}:${start.name}`, startDate: 1 }));
  }
});
beforeAll(async () => {
  await new Promise<void>((listening) => states.listen(0, '127.0.0.1', listening));
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_SFN: `http://127.0.0.1:${(states.address() as AddressInfo).port}`,
    AWS_ACCESS_KEY_ID: 'any',
    AWS_SECRET_ACCESS_KEY: 'any',
  });
  world = await BorderWorld.create();
});
afterAll(async () => {
  states.closeAllConnections();
  states.close();
  await world?.drop();
});
beforeEach(() => {
  starts.length = 0;
  refusal = undefined;
});

async function settledCrossing() {
  const crossing = await world.cross(await world.addTenant({ tier: 'starter' }), 'us', 'eu');
  await world.land(crossing, 'us');
  const recover = () => recoverMoves(world.in('us').registry, { ...dead, regions: world.seenFrom('us') });
  return { ...crossing, recover };
}

const statusOf = async (moveId: string) => {
  const [move] = await world
    .in('us')
    .registry.query<{ status: string }>('SELECT status FROM tenant_moves WHERE move_id = :moveId::uuid', {
      moveId,
    });
  return move?.status;
};

test('recovery starts it, and tells that the crossing has succeeded', async () => {
  const { tenantId, moveId, recover } = await settledCrossing();
  await recover();
  expect(await statusOf(moveId)).toBe('succeeded');
  // The report names it, so that a client that follows the crossing can follow it too.
  const { report } = await getMove(world.in('us').registry, tenantId, moveId);
  expect(report).toMatchObject({
    followUp: { region: 'eu', executionArn: expect.stringMatching(/^arn:aws:states:eu-aws:.*:onward-/) },
  });
  const [start, ...others] = starts;
  expect(others).toEqual([]);
  expect(start).toMatchObject({
    name: `onward-${moveId}`,
    stateMachineArn: expect.stringMatching(/^arn:aws:states:eu-aws:/),
  });
  expect(JSON.parse(start!.input)).toMatchObject({ tenantId, targetTier: 'starter', force: true });
});

test('where it cannot be started, the crossing stays open until recovery comes again', async () => {
  const { moveId, recover } = await settledCrossing();
  refusal = 'StateMachineDoesNotExist';
  await expect(recover()).rejects.toThrow('1 moves were not recovered');
  expect(await statusOf(moveId)).toBe('running');
  refusal = undefined;
  await recover();
  expect(await statusOf(moveId)).toBe('succeeded');
  expect(starts).toHaveLength(1);
});
