import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { config, knownRegions, type RegionConfig, type StrataConfig } from '../../infra/config.ts';
import { loadConfig } from '../../infra/load-config.ts';
import { ConfigError, rangesOverlap, validateConfig } from '../../infra/validate-config.ts';

const problemsOf = (change: Partial<StrataConfig>): readonly string[] => {
  try {
    validateConfig({ ...config, ...change });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};

const signIn = (change: Partial<StrataConfig['signIn']>) => ({ signIn: { ...config.signIn, ...change } });
const acme = {
  kind: 'saml' as const,
  name: 'Acme',
  tenant: 'acme',
  region: 'us',
  metadataUrl: 'https://acme.example/saml',
};
const providers = (...changes: Partial<typeof acme>[]) =>
  signIn({ identityProviders: changes.map((change) => ({ ...acme, ...change })) });

test('by default there is one region with one cell, and pipelining is off', () => {
  const loaded = loadConfig({});
  expect(loaded.regions.map(({ key, cells }) => [key, cells.map(({ id }) => id)])).toEqual([
    ['us', ['us-1']],
  ]);
  expect(loaded.databasePipeline).toBe('off');
});

test('cdk.json names every variable that the configuration is read from: the local platform passes no other on', () => {
  const read = new Set<string>();
  loadConfig(new Proxy({}, { get: (_, name) => void read.add(String(name)) }));
  const { environment } = JSON.parse(readFileSync('cdk.json', 'utf8')) as { environment: string[] };
  const isNamed = (name: string) =>
    environment.some((wish) => name === wish || (wish.endsWith('*') && name.startsWith(wish.slice(0, -1))));
  expect(read.size).toBeGreaterThan(3);
  expect([...read].filter((name) => !isNamed(name))).toEqual([]);
});

test('DB_PIPELINE overrides the configuration, and only with on or off', () => {
  expect(loadConfig({ DB_PIPELINE: 'on' }).databasePipeline).toBe('on');
  expect(loadConfig({ DB_PIPELINE: '' }).databasePipeline).toBe('off');
  expect(() => loadConfig({ DB_PIPELINE: 'yes' })).toThrow('DB_PIPELINE is "yes", expected "on" or "off"');
});

test('no cell has a cache by default; STRATA_CACHE gives each a small one', () => {
  const cachesOf = ({ regions }: StrataConfig) =>
    regions.flatMap(({ cells }) => cells.map(({ cache }) => cache?.maxStorageGb));
  expect(cachesOf(loadConfig({}))).toEqual([undefined]);
  expect(cachesOf(loadConfig({ STRATA_CACHE: 'on', STRATA_CELLS: 'us=2' }))).toEqual([5, 5]);
  expect(cachesOf(loadConfig({ STRATA_CACHE: 'off' }))).toEqual([undefined]);
  expect(() => loadConfig({ STRATA_CACHE: 'yes' })).toThrow('STRATA_CACHE is "yes", expected "on" or "off"');
  const [us] = config.regions as [RegionConfig];
  const cells = us.cells.map((cell) => ({ ...cell, cache: { maxStorageGb: 0, maxEcpuPerSecond: 1 } }));
  expect(problemsOf({ regions: [{ ...us, cells }] })).toEqual([
    'cell us-1: cache.maxStorageGb is 0, expected 1 to 5000',
    'cell us-1: cache.maxEcpuPerSecond is 1, expected 1000 to 15000000',
  ]);
});

test('sizes of dedicated databases: a class that can be one, a capacity for serverless ones only, two readers at most', () => {
  const [us] = config.regions as [RegionConfig];
  const { sizes } = us.dedicated;
  const changed = {
    small: { ...sizes.small, instanceClass: 'large', readers: 3 },
    medium: { instanceClass: 'db.serverless', readers: 1 },
    large: { ...sizes.large, capacity: { min: 0.7, max: 300 } },
  };
  expect(problemsOf({ regions: [{ ...us, dedicated: { sizes: changed } }] })).toEqual([
    'region us: dedicated.sizes.small: instanceClass is "large", expected such as db.t4g.medium',
    'region us: dedicated.sizes.small: readers is 3, expected 0 to 2',
    'region us: dedicated.sizes.medium: capacity is for db.serverless, and only for it',
    'region us: dedicated.sizes.large: capacity is for db.serverless, and only for it',
    'region us: dedicated.sizes.large: minCapacity is 0.7, expected 0.5 to 256 in steps of 0.5',
    'region us: dedicated.sizes.large: maxCapacity is 300, expected 0.5 to 256 in steps of 0.5',
  ]);
});

test('MOVE_DUTY_CYCLE overrides the configuration', () => {
  expect(loadConfig({}).moves.dutyCycle).toBe(0.5);
  expect(loadConfig({ MOVE_DUTY_CYCLE: '1' }).moves.dutyCycle).toBe(1);
  expect(() => loadConfig({ MOVE_DUTY_CYCLE: 'half' })).toThrow('moves.dutyCycle is NaN');
});

test('STRATA_CELLS gives a region more cells like its first one', () => {
  const [us] = loadConfig({ STRATA_CELLS: 'us=2' }).regions;
  const [first] = config.regions[0]!.cells;
  expect(us!.cells).toEqual([first, { ...first, id: 'us-2' }]);
  expect(loadConfig({ STRATA_CELLS: '' }).regions).toEqual(config.regions);
});

test.each(['us', 'us=', 'us=0', 'us=10', 'us=two', 'eu=2', '2', 'us=2,', 'us=2=3'])(
  'STRATA_CELLS=%s is refused',
  (wish) => {
    expect(() => loadConfig({ STRATA_CELLS: wish })).toThrow(ConfigError);
    expect(() => loadConfig({ STRATA_CELLS: wish })).toThrow(`STRATA_CELLS is "${wish}", expected`);
  },
);

test('STRATA_REGIONS names the regions, home first, and STRATA_CELLS counts their cells', () => {
  const keysOf = (environment: NodeJS.ProcessEnv) =>
    loadConfig(environment).regions.map(({ key, cells }) => [key, cells.length]);
  expect(keysOf({ STRATA_REGIONS: 'us,eu' })).toEqual([
    ['us', 1],
    ['eu', 1],
  ]);
  expect(keysOf({ STRATA_REGIONS: 'eu, us', STRATA_CELLS: 'us=2' })).toEqual([
    ['eu', 1],
    ['us', 2],
  ]);
  expect(loadConfig({ STRATA_REGIONS: '' }).regions).toEqual(config.regions);
  expect(() => loadConfig({ STRATA_REGIONS: 'eu', STRATA_CELLS: 'us=2' })).toThrow('STRATA_CELLS is "us=2"');
});

test.each(['us,us', 'us,', ',', 'mars', 'us;eu', 'US', 'toString'])(
  'STRATA_REGIONS=%s is refused',
  (wish) => {
    expect(() => loadConfig({ STRATA_REGIONS: wish })).toThrow(ConfigError);
    expect(() => loadConfig({ STRATA_REGIONS: wish })).toThrow(
      `STRATA_REGIONS is "${wish}", expected some of us, eu, apac, each once and home first, such as us,eu`,
    );
  },
);

test('address ranges overlap where they have an address in common, however they are written', () => {
  for (const [one, other] of [
    ['10.16.0.0/16', '10.16.0.0/16'],
    ['10.0.0.0/8', '10.16.0.0/16'],
    ['10.16.240.0/20', '10.16.0.0/16'],
    ['10.16.9.0/16', '10.16.0.0/20'],
    ['0.0.0.0/0', '192.0.2.1/32'],
  ] as const) {
    expect([one, rangesOverlap(one, other), rangesOverlap(other, one)]).toEqual([one, true, true]);
  }
  for (const [one, other] of [
    ['10.16.0.0/16', '10.17.0.0/16'],
    ['10.16.0.0/17', '10.16.128.0/17'],
    ['10.16.0.0/16', '10.16.0.0'],
    ['10.16.0.0/16', '10.16.0.0/33'],
    ['300.16.0.0/16', '300.16.0.0/16'],
  ] as const) {
    expect([one, rangesOverlap(one, other), rangesOverlap(other, one)]).toEqual([one, false, false]);
  }
});

test('all known regions are valid, alone and together', () => {
  for (const region of Object.values(knownRegions)) expect(problemsOf({ regions: [region] })).toEqual([]);
  expect(problemsOf({ regions: Object.values(knownRegions) })).toEqual([]);
});

test('every mistake is named at once', () => {
  const [cell] = knownRegions.us.cells as [(typeof knownRegions.us.cells)[0]];
  const cells = [{ ...cell, id: 'eu-1', maxBusinessTenants: 191, minCapacity: 0.3, maxCapacity: 0.25 }];
  const problems = problemsOf({
    regions: [{ ...knownRegions.us, availabilityZones: ['eu-west-1a'], cells }],
    logRetentionDays: 42,
    backups: { secondRegions: { mars: 'us-west-2' }, copyBusiness: true, undoHours: 400 },
    moves: {
      graceMinutes: 0,
      keepDedicated: 91,
      maxPauseMs: 5_000,
      dutyCycle: 0,
      replicationTls: 'sslmode=disable',
      replicationTlsBetweenRegions: 'sslmode=prefer',
    },
    alarmEmail: 'nobody',
  });
  expect(problems).toEqual([
    'region us: needs 2 or 3 different availability zones',
    'region us: zone eu-west-1a is not in us-east-1',
    'cell eu-1: id must be us-1, us-2, …',
    'cell eu-1: maxBusinessTenants is 191, at most 190 fit behind one RDS Proxy',
    'cell eu-1: minCapacity is 0.3, expected 0.5 to 256 in steps of 0.5',
    'cell eu-1: maxCapacity is 0.25, expected 0.5 to 256 in steps of 0.5',
    'cell eu-1: maxCapacity 0.25 must be at least 1 and not below minCapacity 0.3',
    expect.stringContaining('logRetentionDays is 42'),
    'backups.secondRegions names mars, which is no region',
    'backups.undoHours is 400, expected 1 to 336',
    'moves.dutyCycle is 0, expected 0.1 to 1',
    'moves.replicationTls is "sslmode=disable", expected such as sslmode=verify-full sslrootcert=/a/file.pem',
    'moves.replicationTlsBetweenRegions is "sslmode=prefer", expected such as sslmode=verify-full sslrootcert=/a/file.pem',
    'moves.graceMinutes is 0, expected 1 to 1440',
    'moves.keepDedicated is 91, expected 1 to 90 days, or nothing',
    'moves.maxPauseMs is 5000, expected 10 to 1000',
    'alarmEmail is "nobody", expected an e-mail address',
  ]);
});

test.each([
  ['no region', { regions: [] }, 'regions is empty'],
  ['a region twice', { regions: [knownRegions.us, knownRegions.us] }, 'region keys must be unique'],
  [
    'overlapping networks',
    { regions: [knownRegions.us, { ...knownRegions.eu, cidr: '10.16.0.0/16' }] },
    'address ranges must not overlap: region us has 10.16.0.0/16, region eu has 10.16.0.0/16',
  ],
  ['a URL as domain', { domainName: 'https://app.example.com' }, 'expected a bare domain'],
  [
    'a sign-in page under a name that Cognito refuses',
    signIn({ domainPrefix: 'my-aws' }),
    'signIn.domainPrefix',
  ],
  ['invitations from nowhere', signIn({ emailFrom: 'people' }), 'signIn.emailFrom is "people"'],
  ['a provider with Cognito’s name', providers({ name: 'COGNITO' }), 'COGNITO is no name'],
  ['a provider with a name for a path', providers({ name: 'a/b' }), 'a/b is no name'],
  ['a provider of no region', providers({ region: 'mars' }), '"mars" is no region'],
  ['a provider of no tenant', providers({ tenant: 'Acme Inc.' }), '"Acme Inc." is no slug'],
  ['a provider without TLS', providers({ metadataUrl: 'http://acme.example' }), 'is no https URL'],
  [
    'more providers than an authorizer takes',
    providers(...Array.from({ length: 49 }, (_, n) => ({ name: `Corp${n}`, tenant: `corp-${n}` }))),
    'region us has 49, at most 48 fit',
  ],
  ['two providers of one tenant', providers({}, { name: 'Other' }), 'must differ in tenant, got acme, acme'],
  ['two providers of one name', providers({}, { tenant: 'other' }), 'must differ in name, got Acme, Acme'],
  ['a zone without domain', { hostedZoneId: 'Z1' }, 'hostedZoneId is set without domainName'],
  ['no origins', { allowedOrigins: [] }, 'allowedOrigins is empty'],
  [
    'a network that the control plane uses',
    { regions: [{ ...knownRegions.us, cidr: '10.15.0.0/16' }] },
    'address ranges must not overlap: the control plane has 10.15.0.0/16, region us has 10.15.0.0/16',
  ],
] satisfies [string, Partial<StrataConfig>, string][])('%s is refused', (_what, change, problem) => {
  expect(problemsOf(change).join('; ')).toContain(problem);
});
