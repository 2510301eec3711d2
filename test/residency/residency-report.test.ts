import { describe, expect, test } from 'vitest';
import type { ResidencySettings } from '../../functions/contracts/residency.ts';
import { jurisdictionOf } from '../../functions/contracts/residency.ts';
import type { KnownHop, KnownPlace, ResidencyFacts } from '../../functions/residency/residency-facts.ts';
import { residencyReport } from '../../functions/residency/residency-report.ts';
import { config, knownRegions } from '../../infra/config.ts';
import { residencySettings } from '../../infra/constructs/residency-settings.ts';

const AT = new Date('2026-06-01T00:00:00Z');
const settings = (changes: object = {}): ResidencySettings =>
  residencySettings({
    ...config,
    regions: [knownRegions.us, knownRegions.eu],
    backups: { undoHours: 72, secondRegions: { us: 'us-west-2', eu: 'eu-central-1' } },
    ...changes,
  });

const place = (changes: Partial<KnownPlace> = {}): KnownPlace => ({
  isolationModel: 'shared',
  region: 'us',
  cellId: 'us-1',
  databaseSize: null,
  clusterArn: 'arn of us-1',
  hasReaders: true,
  ...changes,
});
const schema = place({ isolationModel: 'schema' });
const dedicated = place({
  isolationModel: 'dedicated',
  cellId: null,
  databaseSize: 'large',
  clusterArn: 'arn of its own',
});

function facts(
  tier: 'starter' | 'business' | 'enterprise',
  at: KnownPlace | undefined,
  changes: Partial<Omit<ResidencyFacts, 'tenant'>> & { tenant?: Partial<ResidencyFacts['tenant']> } = {},
): ResidencyFacts {
  const region = at?.region ?? 'us';
  return {
    hops: [],
    backups: [],
    exports: [],
    keys: [],
    sideClusters: [],
    users: 2,
    kept: undefined,
    place: at,
    ...changes,
    tenant: {
      tenantId: '00000000-0000-4000-8000-000000000001',
      slug: 'acme',
      tier,
      isolationModel: at?.isolationModel ?? 'shared',
      status: 'active',
      dataResidency: region,
      complianceRequirements: [],
      region,
      ...changes.tenant,
    },
  };
}

const report = (known: ResidencyFacts, given = settings()) => residencyReport(known, given, AT);
const kinds = (known: ResidencyFacts, given?: ResidencySettings) =>
  report(known, given).data.map(({ kind }) => kind);
const hop = (changes: Partial<KnownHop>): KnownHop => ({
  state: 'settled',
  isRestore: false,
  source: place(),
  target: schema,
  committedAt: '2026-05-31T00:00:00Z',
  changedAt: '2026-05-31T00:00:00Z',
  snapshot: null,
  samplesIn: [],
  ...changes,
});

describe('where the data is', () => {
  test('of a Starter tenant: the shared tables of its cell, the cell’s readers and backups, and the region’s services', () => {
    const { data, violations } = report(facts('starter', place()));
    expect(data).toMatchObject([
      {
        kind: 'database',
        where: 'the shared tables of cell us-1, database strata',
        region: 'us',
        awsRegion: 'us-east-1',
        zones: ['us-east-1a', 'us-east-1b', 'us-east-1c'],
        rules: ['residency', 'compliance', 'tier'],
      },
      { kind: 'read-replicas', where: '1 reader of the cluster of cell us-1' },
      { kind: 'cluster-backups', keptDays: 14 },
      { kind: 'audit-seal-copies', keptDays: 2600 },
      { kind: 'logs', keptDays: 90 },
      { kind: 'registry' },
      { kind: 'cache' },
      { kind: 'secrets' },
      { kind: 'user-accounts', where: 'user pool of region us: 2 accounts' },
      { kind: 'field-keys', where: 'alias/strata-us-fields-multi-region', awsRegion: 'us-east-1' },
      {
        kind: 'field-keys',
        where: 'copy of alias/strata-us-fields-multi-region',
        region: null,
        awsRegion: 'us-west-2',
      },
    ]);
    expect(data.every(({ violates }) => violates.length === 0)).toBe(true);
    expect(violations).toEqual([]);
  });

  test('of an erased tenant: what its certificate lists as kept, and nothing that was erased', () => {
    const one = { region: 'us', count: null, why: 'x' };
    const kept = [
      { ...one, store: 'database us-1', what: 'continuous backups', until: '2026-06-14T00:00:00Z' },
      { ...one, store: 'keys', what: 'KMS key', count: 1, until: '2026-06-07T00:00:00Z' },
      { ...one, store: 'cache', what: 'keys', until: '2026-05-31T23:59:00Z' },
      { ...one, store: 'logs', region: 'eu', what: 'lines', until: '2026-08-01T00:00:00Z' },
      { ...one, store: 'registry', what: 'one row', until: null },
    ];
    const { data } = report(
      facts('starter', undefined, { users: 0, kept, tenant: { status: 'offboarded' } }),
    );
    expect(data.map(({ kind, where, awsRegion, until }) => [kind, where, awsRegion, until])).toEqual([
      ['cluster-backups', 'kept after the erasure: continuous backups', 'us-east-1', '2026-06-14T00:00:00Z'],
      ['field-keys', 'kept after the erasure: 1 KMS key', 'us-east-1', '2026-06-07T00:00:00Z'],
      // What is past is gone.
      ['logs', 'kept after the erasure: lines', 'eu-west-1', '2026-08-01T00:00:00Z'],
      ['registry', 'kept after the erasure: one row', 'us-east-1', null],
    ]);
    // While the erasure is under way, nothing is known to be gone.
    const erasing = facts('starter', undefined, { tenant: { status: 'offboarded' } });
    expect(kinds(erasing)).toContain('audit-seal-copies');
  });

  test('of a Business tenant: a schema, with its backups, and with their copies where they are configured', () => {
    const backups = [
      { region: 'us', tier: 'business', count: 3, bytes: 30, lastExpiresAt: '2026-06-14T00:00:00Z' } as const,
    ];
    const known = facts('business', schema, { backups });
    expect(report(known).data[0]).toMatchObject({ where: 'a schema of cell us-1, database strata' });
    expect(report(known).data.find(({ kind }) => kind === 'object-backups')).toMatchObject({
      where: 'backup bucket of region us: 3 business backups, 30 bytes',
      keptDays: 14,
      until: '2026-06-14T00:00:00Z',
    });
    expect(kinds(known)).not.toContain('object-backup-copies');
    const copied = settings({
      backups: { undoHours: 72, copyBusiness: true, secondRegions: { us: 'us-west-2' } },
    });
    expect(report(known, copied).data.find(({ kind }) => kind === 'object-backup-copies')).toMatchObject({
      region: null,
      awsRegion: 'us-west-2',
    });
  });

  test('of an Enterprise tenant: its own cluster with the zones of writer and readers, 35 days, and its own key', () => {
    const known = facts('enterprise', dedicated, { keys: [{ region: 'us', keyArn: 'arn of its key' }] });
    const { data, violations } = report(known);
    expect(data.slice(0, 3)).toMatchObject([
      {
        kind: 'database',
        where: 'a dedicated database (large) in region us, database strata',
        zones: ['us-east-1a'],
      },
      {
        kind: 'read-replicas',
        where: "2 readers of the tenant's own cluster",
        zones: ['us-east-1b', 'us-east-1c'],
      },
      { kind: 'cluster-backups', keptDays: 35 },
    ]);
    expect(data.filter(({ kind }) => kind === 'field-keys')).toMatchObject([{ where: 'arn of its key' }]);
    expect(violations).toEqual([]);
    const keyArn = 'arn:aws:kms:us-east-1:000000000000:key/mrk-1';
    const copied = report(facts('enterprise', dedicated, { keys: [{ region: 'us', keyArn }] }));
    expect(copied.data.filter(({ kind }) => kind === 'field-keys')).toMatchObject([
      { where: keyArn, awsRegion: 'us-east-1' },
      { where: `copy of ${keyArn}`, awsRegion: 'us-west-2' },
    ]);
    const alone = report(known, settings({ backups: { undoHours: 72 } }));
    expect(alone.data.filter(({ kind }) => kind === 'field-keys')).toHaveLength(1);
    const small = facts('enterprise', place({ ...dedicated, databaseSize: 'small', hasReaders: false }));
    expect(kinds(small)).not.toContain('read-replicas');
  });

  test('what a move or restore has left, what it is making, and snapshots and backups that outlive a place', () => {
    const known = facts('enterprise', dedicated, {
      hops: [
        // Two hops out of one cell: from its shared tables to a schema there, and away from it.
        hop({ state: 'cleaned', source: schema, target: schema, changedAt: '2026-05-30T00:00:00Z' }),
        hop({ state: 'cleaned', source: schema, target: dedicated, changedAt: '2026-05-31T00:00:00Z' }),
        hop({ state: 'cleaned', source: schema, target: dedicated, changedAt: '2026-05-29T00:00:00Z' }),
        hop({
          state: 'settled',
          source: place({ ...dedicated, databaseSize: 'small', clusterArn: 'arn of the small one' }),
          target: dedicated,
        }),
        hop({ state: 'settled', isRestore: true, source: dedicated, target: dedicated }),
        hop({
          state: 'cleaned',
          source: place({ ...dedicated, clusterArn: 'arn of an earlier one' }),
          snapshot: 'strata-tenant-x-e3',
        }),
        hop({ state: 'working', source: dedicated, target: place({ ...dedicated, databaseSize: 'small' }) }),
      ],
      sideClusters: [{ region: 'us', since: '2026-06-01T00:00:00Z' }],
      exports: [{ region: 'us', tier: null, count: 1, bytes: 5, lastExpiresAt: '2026-06-07T00:00:00Z' }],
    });
    const found = report(known).data.map(({ kind, where, keptDays, until }) => ({
      kind,
      where,
      keptDays,
      until,
    }));
    expect(found).toEqual(
      expect.arrayContaining([
        {
          kind: 'cluster-backups',
          where: 'continuous backup of the cluster of cell us-1, which the tenant has left',
          keptDays: 14,
          until: '2026-06-14T00:00:00.000Z',
        },
        {
          kind: 'former-place',
          where:
            'a dedicated database (small) in region us, database strata: left, and deleted with its database',
          keptDays: 0.007,
          until: null,
        },
        expect.objectContaining({
          kind: 'former-place',
          keptDays: 3,
          where: expect.stringContaining('kept for an undo'),
        }),
        expect.objectContaining({
          kind: 'final-snapshot',
          where: expect.stringContaining('strata-tenant-x-e3'),
        }),
        expect.objectContaining({ kind: 'next-place', where: expect.stringContaining('(small)') }),
        expect.objectContaining({ kind: 'side-cluster' }),
        expect.objectContaining({ kind: 'exports', keptDays: 7, until: '2026-06-07T00:00:00Z' }),
      ]),
    );
    expect(found.filter(({ where }) => where.includes('which the tenant has left'))).toHaveLength(1);
    // Fifteen days after the clean-up the cell's backups have forgotten the tenant.
    const later = residencyReport(known, settings(), new Date('2026-06-15T00:00:00Z'));
    expect(later.data.some(({ where }) => where.includes('which the tenant has left'))).toBe(false);
  });

  test('of a tenant that came from another region: what only time deletes there, and what home knows', () => {
    const inEu = place({ region: 'eu', cellId: 'eu-1', isolationModel: 'schema', clusterArn: 'arn of eu-1' });
    const moved = hop({
      state: 'cleaned',
      source: schema,
      target: inEu,
      committedAt: '2026-05-30T00:00:00Z',
    });
    const { data, violations } = report(facts('business', inEu, { hops: [moved] }));
    const outside = data.filter(({ awsRegion }) => awsRegion === 'us-east-1');
    expect(outside.map(({ kind, violates }) => [kind, violates])).toEqual([
      ['cluster-backups', ['residency']],
      ['audit-seal-copies', ['residency']],
      ['logs', ['residency']],
      ['user-accounts', ['residency']],
      ['directory', []],
    ]);
    expect(violations.map(({ rule }) => rule)).toEqual(Array(4).fill('residency'));
    // Nobody's accounts are deleted after a week, and not reported any more.
    expect(outside.find(({ kind }) => kind === 'user-accounts')).toMatchObject({
      keptDays: 7,
      until: '2026-06-06T00:00:00.000Z',
    });
    const later = residencyReport(
      facts('business', inEu, { hops: [moved] }),
      settings(),
      new Date('2026-06-07T00:00:00Z'),
    );
    expect(later.data.some(({ where }) => where.includes('disabled accounts'))).toBe(false);
    const onboarded = report(facts('business', inEu)).data.filter(
      ({ awsRegion }) => awsRegion === 'us-east-1',
    );
    expect(onboarded).toMatchObject([
      { kind: 'directory', where: 'registry of home region us: id, slug and region' },
    ]);
  });

  test('of the last tenant of shared tables, after it left their region: samples of its columns stay there', () => {
    const inEu = place({ region: 'eu', cellId: 'eu-1', isolationModel: 'schema', clusterArn: 'arn of eu-1' });
    const left = hop({
      state: 'cleaned',
      source: place(),
      target: schema,
      samplesIn: ['employees', 'teams'],
    });
    const samples = (at: KnownPlace) =>
      report(facts('business', at, { hops: [left] })).data.filter(({ kind }) => kind === 'former-place');
    expect(samples(inEu)).toMatchObject([
      {
        region: 'us',
        where: expect.stringMatching(
          /^the shared tables of cell us-1.*samples of columns.*: employees, teams$/,
        ),
        keptDays: null,
        until: null,
        violates: ['residency'],
      },
    ]);
    expect(samples(schema)).toMatchObject([{ violates: [] }]);
    // Its rows are in these tables again.
    expect(samples(place())).toEqual([]);
  });

  test('of a tenant in a region with a cache: its rows are there too', () => {
    const [cell] = knownRegions.us.cells;
    const cached = {
      ...knownRegions.us,
      cells: [{ ...cell, cache: { maxStorageGb: 1, maxEcpuPerSecond: 1_000 } }],
    };
    const where = (given: ResidencySettings) =>
      report(facts('starter', place()), given).data.find(({ kind }) => kind === 'cache')?.where;
    expect(where(settings())).not.toContain('Valkey');
    expect(where(settings({ regions: [cached] }))).toContain('Valkey');
  });

  test('of a tenant without a place: registry and users only', () => {
    expect(kinds(facts('enterprise', undefined))).toEqual([
      'audit-seal-copies',
      'logs',
      'registry',
      'user-accounts',
    ]);
  });
});

describe('what violates a rule', () => {
  const backups = [
    { region: 'eu', tier: 'enterprise', count: 1, bytes: 1, lastExpiresAt: '2026-06-30T00:00:00Z' } as const,
  ];
  const euDedicated = place({ ...dedicated, region: 'eu' });

  test.each(['us-west-2', 'eu-west-2', 'eu-central-2'])(
    'a second region outside of the residency: %s',
    (second) => {
      const outside = settings({ backups: { undoHours: 72, secondRegions: { eu: second } } });
      const { data, violations } = report(facts('enterprise', euDedicated, { backups }), outside);
      expect(data.find(({ kind }) => kind === 'object-backup-copies')).toMatchObject({
        violates: ['residency'],
      });
      expect(violations).toEqual([
        {
          rule: 'residency',
          detail: `The object-backup-copies in ${second} are outside of the European Union.`,
        },
        { rule: 'residency', detail: `The field-keys in ${second} are outside of the European Union.` },
      ]);
      // It would also concern a tenant that becomes Enterprise.
      const business = place({ isolationModel: 'schema', region: 'eu', cellId: 'eu-1' });
      expect(report(facts('business', business), outside).wouldViolate).toContainEqual({
        change: 'a move to the enterprise tier',
        rule: 'residency',
        detail: `Backups of the enterprise tier are copied to ${second}, outside of the European Union.`,
      });
    },
  );

  test('a second region in the same jurisdiction violates nothing', () => {
    expect(report(facts('enterprise', euDedicated, { backups })).violations).toEqual([]);
  });

  test('Enterprise without a second region lacks what its tier promises', () => {
    const none = settings({ backups: { undoHours: 72 } });
    expect(report(facts('enterprise', dedicated), none).violations).toEqual([
      { rule: 'tier', detail: expect.stringContaining('region "us" has none') },
    ]);
  });

  test('requirements that the place does not satisfy, and tiers that would not', () => {
    const tenant = { complianceRequirements: ['hipaa', 'soc2'] };
    const { violations, data, wouldViolate } = report(facts('business', schema, { tenant }));
    expect(violations).toEqual([
      { rule: 'compliance', detail: 'The requirement "hipaa" does not allow a schema in a shared database.' },
    ]);
    expect(data[0]).toMatchObject({ kind: 'database', violates: ['compliance'] });
    expect(
      wouldViolate
        .filter(({ rule }) => rule === 'compliance')
        .map(({ change, detail }) => `${change}: ${detail}`),
    ).toEqual([
      'a move to the starter tier: The requirement "hipaa" does not allow shared tables.',
      'a move to the starter tier: The requirement "soc2" does not allow shared tables.',
    ]);
    expect(report(facts('enterprise', dedicated, { tenant })).violations).toEqual([]);
  });

  test('a place that is not the tier’s, as an unfinished move leaves it', () => {
    expect(report(facts('starter', schema)).violations).toEqual([
      { rule: 'tier', detail: 'The starter tier has shared tables, and the tenant has a schema of its own.' },
    ]);
  });

  test('a move to a region of another jurisdiction would, to one of the same would not', () => {
    expect(report(facts('starter', place())).wouldViolate).toMatchObject([
      { change: 'a move to region "eu"', rule: 'residency' },
    ]);
    const west = { ...knownRegions.eu, key: 'west', awsRegion: 'us-west-1' };
    const same = settings({ regions: [knownRegions.us, west], backups: { undoHours: 72 } });
    expect(report(facts('starter', place()), same).wouldViolate).toEqual([]);
  });
});

test('jurisdictions: the European Union is one, London and Zurich are not in it, others stand for themselves', () => {
  expect(jurisdictionOf('eu-north-1')).toBe(jurisdictionOf('eu-west-1'));
  for (const other of ['eu-west-2', 'eu-central-2', 'us-east-1', 'sa-east-1']) {
    expect(jurisdictionOf(other)).not.toBe(jurisdictionOf('eu-west-1'));
  }
  expect(jurisdictionOf('sa-east-1')).toBe('sa-east-1');
});
