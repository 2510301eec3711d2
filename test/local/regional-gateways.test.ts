import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { internals, stateFile } from '../../infra/local/index.ts';
import { newDirectory, unusedPorts } from './running-fixture.ts';

const { JwtAuthorizer, RegionalGateways, LambdaFunctions } = await internals();
type RegionalGateways = InstanceType<typeof RegionalGateways>;

const regions = ['us-east-1', 'eu-west-1', 'ap-southeast-1'];
let directory: string;
let open: RegionalGateways[];
let log: string[];

beforeEach(() => {
  directory = newDirectory();
  open = [];
  log = [];
});
afterEach(async () => {
  await Promise.all(open.map((gateways) => gateways.close()));
  rmSync(directory, { recursive: true, force: true });
});

/** Gateways of a new run on the same state. */
async function listening(): Promise<{ gateways: RegionalGateways; homePort: number }> {
  const tell = (line: string) => void log.push(line);
  const gateways = new RegionalGateways({
    functions: new LambdaFunctions({
      logsDir: directory,
      caCertificate: '',
      echo: false,
      awsPort: 0,
      log: tell,
    }),
    authorizer: new JwtAuthorizer(() => undefined),
    state: stateFile(join(directory, 'state')),
    log: tell,
  });
  const [homePort] = await unusedPorts();
  await gateways.listen(homePort);
  await gateways.listenAgain();
  open.push(gateways);
  return { gateways, homePort };
}

test('every region’s gateway answers 503 until it serves, and then knows no route of another’s', async () => {
  const { gateways, homePort } = await listening();
  expect((await fetch(`http://127.0.0.1:${homePort}/`)).status).toBe(503);
  expect(() => gateways.urlOf('us-east-1')).toThrow('no gateway serves region us-east-1');
  await gateways.open(regions);
  expect([...gateways.urls.keys()]).toEqual(regions);
  expect(gateways.urlOf('us-east-1')).toBe(`http://127.0.0.1:${homePort}`);
  const statuses = () =>
    Promise.all([...gateways.urls.values()].map(async (url) => (await fetch(url)).status));
  expect(await statuses()).toEqual([503, 503, 503]);
  gateways.serve([]);
  expect(await statuses()).toEqual([404, 404, 404]);
  const urls = [...gateways.urls.values()];
  await gateways.close();
  for (const url of urls) await expect(fetch(url)).rejects.toThrow('fetch failed');
});

test('a region keeps its port over restarts, also over one that it is left out of', async () => {
  const { gateways } = await listening();
  await gateways.open(regions);
  await gateways.close();
  const without = await listening();
  const statusOfEu = async () => (await fetch(gateways.urlOf('eu-west-1'))).status;
  expect(await statusOfEu()).toBe(503);
  await without.gateways.open(regions.slice(0, 1));
  await expect(statusOfEu()).rejects.toThrow('fetch failed');
  await without.gateways.close();
  const { gateways: again } = await listening();
  await again.open(regions.toReversed());
  expect(again.urlOf('eu-west-1')).toBe(gateways.urlOf('eu-west-1'));
  expect(log).toEqual([]);
});

test('a port that somebody else has taken is given up for another one, which is remembered', async () => {
  const { gateways: first } = await listening();
  await first.open(regions);
  const { gateways: second } = await listening();
  await second.open(regions);
  for (const region of regions.slice(1)) expect(second.urlOf(region)).not.toBe(first.urlOf(region));
  const port = (gateways: RegionalGateways) => new URL(gateways.urlOf('eu-west-1')).port;
  expect(log[0]).toBe(
    `port ${port(first)} is busy: the API of eu-west-1 is on port ${port(second)} from now on`,
  );
  await Promise.all([first.close(), second.close()]);
  const { gateways: third } = await listening();
  await third.open(regions);
  expect(port(third)).toBe(port(second));
});
