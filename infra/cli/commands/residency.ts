import { bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { shownJson, shownText } from '../shown-text.ts';
import { LISTING_FLAGS, table } from '../table.ts';

export const residency: Command = {
  name: 'residency',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'where all data of a tenant is, and which rules it violates; exit code 1 where it violates one',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const client = await api();
    const report = await bodyOf(
      client.operations.GET('/tenants/{tenantId}/residency', { params: { path: { tenantId: slug } } }),
    );
    const { violations, wouldViolate, rules, data } = report;
    if (flags.has('json')) {
      screen.line(shownJson(report));
      return violations.length === 0;
    }
    screen.line(`${shownText(report.slug)}: residency "${report.dataResidency}", in ${report.jurisdiction}`);
    for (const { rule, demands } of rules) screen.line(`${rule}: ${shownText(demands)}`);
    for (const line of table(TITLES, data.map(row))) screen.line(line);
    for (const { rule, detail } of violations)
      screen.line(screen.paint('red', `violated (${rule}): ${shownText(detail)}`));
    for (const { change, rule, detail } of wouldViolate)
      screen.line(`${change} would violate (${rule}): ${shownText(detail)}`);
    if (violations.length === 0) screen.line(screen.paint('green', 'no rule is violated'));
    return violations.length === 0;
  },
};

const TITLES = ['data', 'AWS region', 'zones', 'kept days', 'until', 'where'];

const row = (one: Schemas['ResidentData']) => [
  one.kind,
  one.awsRegion,
  one.zones.map((zone) => zone.slice(-1)).join(' '),
  one.keptDays,
  one.until?.slice(0, 10),
  one.where,
];
