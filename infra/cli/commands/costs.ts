import { bodyOf, type Schemas, tenantPath } from '../api-client.ts';
import type { Arguments, Command } from '../command.ts';
import { UsageError } from '../errors.ts';
import { bytesText, counted, shownJson } from '../shown-text.ts';
import { fields, LISTING_FLAGS, showList, table } from '../table.ts';

const RANGE = { from: 'DAY', to: 'DAY' } as const;

/** @throws {UsageError} one end without the other. */
function rangeOf({ options }: Arguments): { from: string; to: string } | undefined {
  const [from, to] = [options.get('from'), options.get('to')];
  if (from === undefined && to === undefined) return undefined;
  if (from === undefined || to === undefined) throw new UsageError('give both --from and --to');
  return { from, to };
}

export const usage: Command = {
  name: 'usage',
  words: 'SLUG',
  options: RANGE,
  flags: LISTING_FLAGS,
  summary: 'daily figures of a tenant',
  async run(given, { api, screen }) {
    const {
      words: [slug = ''],
      flags,
    } = given;
    const range = rangeOf(given);
    const client = await api();
    const path = `${tenantPath(slug)}/usage`;
    const days = range
      ? await client.list<Schemas['UsageSample']>(path, range)
      : await client.all('/tenants/{tenantId}/usage', { tenantId: slug });
    showList(screen, flags, days, {
      titles: [
        'day',
        'users',
        'acting',
        'employees',
        'requests',
        'database s',
        'storage',
        'backups',
        'revenue',
      ],
      rowOf: (one) => [
        one.sampledOn,
        one.activeUsers,
        one.actingUsers,
        one.activeEmployees,
        one.requests,
        one.databaseMs === null ? null : one.databaseMs / 1_000,
        bytesOrNone(one.storageBytes),
        bytesOrNone(one.keptBackupBytes),
        one.monthlyRevenue,
      ],
    });
    return true;
  },
};

export const costs: Command = {
  name: 'costs',
  words: 'SLUG',
  options: RANGE,
  flags: LISTING_FLAGS,
  summary: 'what a tenant costs by list prices, and the margin',
  async run(given, { api, screen }) {
    const {
      words: [slug = ''],
      flags,
    } = given;
    const query = rangeOf(given);
    const { operations } = await api();
    const found = await bodyOf(
      operations.GET('/tenants/{tenantId}/costs', {
        params: { path: { tenantId: slug }, ...(query ? { query } : {}) },
      }),
    );
    if (flags.has('json')) {
      screen.line(shownJson(found));
      return true;
    }
    const rows = found.lines.map((line) => [
      line.item,
      line.cellId,
      line.basis,
      line.source,
      dollarsText(line.amount),
    ]);
    for (const line of table(['item', 'cell', 'shared by', 'known as', 'amount'], rows)) screen.line(line);
    screen.line('');
    const { from, to, days, pricesAsOf, priceBand, margin, monthlyRevenue } = found;
    const summary = {
      period: `${from} to ${to}, ${counted(days, 'day')}`,
      total: dollarsText(found.total),
      monthly: dollarsText(found.monthly),
      'prices as of': pricesAsOf,
      'price band': `${priceBand.from} to ${priceBand.to}`,
      'margin of the band': `${percentText(found.bandMargin.from)} to ${percentText(found.bandMargin.to)}`,
      revenue: monthlyRevenue,
      margin: margin && (margin.share === null ? dollarsText(margin.amount) : percentText(margin.share)),
    };
    for (const line of fields(summary)) screen.line(line);
    return true;
  },
};

export const advice: Command = {
  name: 'advice',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'what could be changed for a tenant, with reasons; nothing is done',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const { operations } = await api();
    const found = await bodyOf(
      operations.GET('/tenants/{tenantId}/advice', { params: { path: { tenantId: slug } } }),
    );
    showList(screen, flags, found.items, {
      titles: ['about', 'action', 'recommended', 'why'],
      rowOf: (one) => [one.kind, one.action, one.recommended, one.reason],
    });
    return true;
  },
};

export const fleet: Command = {
  name: 'fleet',
  words: '',
  options: RANGE,
  flags: LISTING_FLAGS,
  summary: 'tenants, requests, storage, cost and margin by tier and cell',
  async run(given, { api, screen }) {
    const query = rangeOf(given);
    const { operations } = await api();
    const found = await bodyOf(operations.GET('/fleet', { params: query ? { query } : {} }));
    if (given.flags.has('json')) {
      screen.line(shownJson(found));
      return true;
    }
    const titles = ['region', 'cell', 'tier', 'tenants', 'requests', 'storage', 'cost', 'a month', 'margin'];
    const rows = [
      ...found.groups.map((group) => [group.region, group.cellId, group.tier, ...sums(group)]),
      ['all', null, null, ...sums(found.totals)],
    ];
    for (const line of table(titles, rows)) screen.line(line);
    screen.line('');
    for (const { region, bill, pricesAsOf, measuredUntil } of found.regions) {
      screen.line(
        `${region}: bill of ${found.from} to ${found.to} ${dollarsText(bill)}, prices of ${pricesAsOf}, requests measured until ${measuredUntil ?? 'never'}`,
      );
    }
    return true;
  },
};

function sums({ tenants, requests, storageBytes, cost, monthlyCost, margin }: Schemas['Fleet']['totals']) {
  return [
    tenants,
    requests,
    bytesText(storageBytes),
    dollarsText(cost),
    dollarsText(monthlyCost),
    margin === null || margin.share === null ? null : percentText(margin.share),
  ];
}

const bytesOrNone = (bytes: number | null): string | null => (bytes === null ? null : bytesText(bytes));
const dollarsText = (dollars: number): string => `${dollars.toFixed(2)} USD`;
const percentText = (share: number): string => `${(share * 100).toFixed(1)} %`;
