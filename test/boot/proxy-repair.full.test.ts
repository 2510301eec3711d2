/**
 * A deployment that updates the cells' proxies puts back their templates' lists of secrets and so locks Business tenants
 * out. What repairs the lists, each by itself, and who notices.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ClientLoad, type Send } from '../../infra/cli/client-load.ts';
import { type DeploymentOutcome, requestDeployment, type Template } from '../../infra/local/index.ts';
import { makeNextRelease } from '../infra/next-release.ts';
import { sharedAssembly } from '../infra/synthesized-app.ts';
import { OwnPlatform } from './own-platform.ts';

/** The promise to Business tenants. */
const REPAIRED_MS = 60_000;
/** Of a schedule's own period, which may have begun just now; for a loaded machine. */
const SLACK_MS = 20_000;

let platform: OwnPlatform;
let assembly: string;
let business: Send;
const loads: ClientLoad[] = [];

beforeAll(async () => {
  assembly = (await sharedAssembly('local')).directory;
  platform = new OwnPlatform(resolve(import.meta.dirname, '../..'), undefined, { STRATA_ASSEMBLY: assembly });
  await platform.start();
  business = await userOf('globex');
  for (const slug of ['initech', 'acme']) {
    const load = new ClientLoad(await userOf(slug), {
      prefix: 'p',
      writers: 1,
      readers: 1,
      restMs: 10,
      atMost: 10,
    });
    load.start();
    loads.push(load);
  }
}, 300_000);
afterAll(async () => {
  await Promise.all(loads.map((load) => load.stop()));
  await platform?.stop();
});

async function userOf(slug: string): Promise<Send> {
  const { tenantId } = await (await platform.client()).get<{ tenantId: string }>(`/tenants/${slug}`);
  return platform.sender({ tenantId, email: `admin@${slug}.test` });
}

interface Repairs {
  schedule: boolean;
  rule: boolean;
}
let releases = 0;
/** Updates the proxies' tags and all functions' code, so that connections are new, and invokes no custom resource. */
function deployOverProxies({ schedule, rule }: Repairs, failAfter?: string): Promise<DeploymentOutcome> {
  const name = `release-${++releases}`;
  const enable = (isEnabled: boolean) => (isEnabled ? 'ENABLED' : 'DISABLED');
  const adjust = (_stack: string, { Resources }: Template) => {
    for (const { Type, Properties = {} } of Object.values(Resources)) {
      const described = JSON.stringify(Properties);
      if (Type === 'AWS::RDS::DBProxy') {
        Properties.Tags = [...((Properties.Tags as object[]) ?? []), { Key: 'release', Value: name }];
      } else if (Type === 'AWS::Scheduler::Schedule' && described.includes('-proxy-auth"')) {
        Properties.State = enable(schedule);
      } else if (Type === 'AWS::Events::Rule' && described.includes('aws.cloudformation')) {
        Properties.State = enable(rule);
      }
    }
  };
  const release = makeNextRelease(assembly, join(platform.directory, name), { name, code: true, adjust });
  const options = failAfter === undefined ? {} : { failAfter };
  return requestDeployment(platform.awsUrl, async () => release, options);
}

const businessStatus = async () => (await business('GET', '/employees?limit=1')).status;
/** Resolves with the milliseconds after which the Business tenant is answered. */
async function untilAnswered(): Promise<number> {
  const begun = performance.now();
  await expect.poll(businessStatus, { timeout: REPAIRED_MS + SLACK_MS, interval: 100 }).toBe(200);
  return performance.now() - begun;
}
/** Starter and Enterprise tenants work now, and have met nothing else than success until now. */
async function othersNeverNotice(): Promise<void> {
  await Promise.all(loads.map((load) => load.written(5)));
  for (const { violations } of loads) expect(violations).toEqual([]);
}

test('erased by a deployment: the schedule alone lets a Business tenant in again within a minute', async () => {
  expect(await businessStatus()).toBe(200);
  expect(await deployOverProxies({ schedule: false, rule: false })).toMatchObject({ status: 'deployed' });
  // Nothing repairs it, so it is really locked out, as at RDS Proxy.
  expect(await businessStatus()).toBe(503);
  await othersNeverNotice();
  expect(await deployOverProxies({ schedule: true, rule: false })).toMatchObject({ status: 'deployed' });
  expect(await untilAnswered()).toBeLessThan(REPAIRED_MS + SLACK_MS);
  await othersNeverNotice();
}, 300_000);

test.each([
  ['a deployment', undefined, 'deployed'],
  ['the rollback of a deployment', 'Strata-us-cell-us-1/', 'rolled-back'],
])(
  'erased by %s: the rule alone lets a Business tenant in again at once',
  async (_by, stack, status) => {
    // The rule must be there before the deployment that is rolled back, which takes a changed one back.
    expect(await deployOverProxies({ schedule: false, rule: true })).toMatchObject({ status: 'deployed' });
    await untilAnswered();
    const failAfter = stack && `${stack}${proxyId()}`;
    expect(await deployOverProxies({ schedule: false, rule: true }, failAfter)).toMatchObject({ status });
    expect(await untilAnswered()).toBeLessThan(REPAIRED_MS / 2);
    await othersNeverNotice();
  },
  300_000,
);

function proxyId(): string {
  const { Resources } = JSON.parse(
    readFileSync(join(assembly, 'Strata-us-cell-us-1.template.json'), 'utf8'),
  ) as Template;
  return Object.entries(Resources).find(([, { Type }]) => Type === 'AWS::RDS::DBProxy')![0];
}
