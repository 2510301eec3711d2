import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommitUnknown } from '../../functions/database/errors.ts';
import { tenantSql } from '../../functions/database/session/tenant-sql.ts';
import { createWorld, type World, type WorldTenant } from '../isolation/tenant-world.ts';
import { CuttingRelay } from './cutting-relay.ts';

let world: World;
let relay: CuttingRelay;
let tenant: WorldTenant;
beforeAll(async () => {
  world = await createWorld(1, {
    relay: (port) => {
      relay = new CuttingRelay(port);
      return relay.listen();
    },
  });
  tenant = world.tenants.find(({ isolationModel }) => isolationModel === 'schema') as WorldTenant;
});
afterAll(async () => {
  relay.close();
  await world.end();
});

const names = tenantSql.selectFrom('teams').select('team_name');
// No unique column: a write that ran twice would show.
const add = (name: string) => tenantSql.insertInto('teams').values({ team_name: name });
const count = async (name: string) =>
  (await tenant.access.batch('read', [names]))[0].filter((row) => row.team_name === name).length;

test('a write whose COMMIT was never answered is told as unknown, and is not run again', async () => {
  await tenant.access.batch('write', [add('warm')]);
  relay.cutNextAnswer();
  await expect(tenant.access.batch('write', [add('lost')])).rejects.toThrow(CommitUnknown);
  await expect.poll(() => count('lost')).toBe(1);
});

test('a read that was cut off is simply read again', async () => {
  await tenant.access.batch('read', [names]);
  relay.cutNextAnswer();
  expect((await tenant.access.batch('read', [names]))[0].length).toBeGreaterThan(0);
});

test('a write that was cut off before its COMMIT was sent is run again', async () => {
  let attempts = 0;
  await tenant.access.transaction('write', async (transaction) => {
    attempts += 1;
    await transaction.query(names);
    if (attempts === 1) relay.cutNextAnswer();
    await transaction.query(add('twice tried'));
  });
  expect(attempts).toBe(2);
  expect(await count('twice tried')).toBe(1);
});
