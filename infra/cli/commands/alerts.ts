import { type ApiClient, bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../errors.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

type Alert = Schemas['Alert'];
const STATUSES: readonly string[] = ['open', 'acknowledged', 'resolved'] satisfies Alert['status'][];

export const alerts: Command = {
  name: 'alerts',
  words: '[list|acknowledge] [ALERTID]',
  flags: ['all', ...LISTING_FLAGS],
  options: { status: 'STATUS', kind: 'KIND', tenant: 'SLUG', cell: 'CELL' },
  summary:
    'alerts that are not resolved, newest first; --all has resolved ones too; acknowledge takes one on',
  async run({ words: [action = 'list', alertId], flags, options }, { api, screen }) {
    const client = await api();
    if (action === 'acknowledge') {
      if (alertId === undefined) throw new UsageError('acknowledge needs an ALERTID');
      const alert = await bodyOf(
        client.operations.POST('/alerts/{alertId}/acknowledge', { params: { path: { alertId } } }),
      );
      screen.line(`alert ${alert.alertId} (${alert.kind}) acknowledged by ${alert.acknowledgedBy}`);
      return true;
    }
    if (action !== 'list') throw new UsageError(`alerts does not take "${action}"`);
    if (alertId !== undefined) throw new UsageError('list takes no ALERTID');
    const found = await listAlerts(client, { all: flags.has('all'), options });
    showList(screen, flags, found, {
      titles: ['opened', 'severity', 'status', 'kind', 'cell', 'tenant', 'summary', 'alert'],
      rowOf: (one) => [
        minute(one.openedAt),
        one.severity,
        one.status,
        one.kind,
        one.cellId,
        one.tenantId,
        one.summary,
        one.alertId,
      ],
    });
    return true;
  },
};

async function listAlerts(
  client: ApiClient,
  { all, options }: { readonly all: boolean; readonly options: ReadonlyMap<string, string> },
): Promise<Alert[]> {
  const status = options.get('status');
  if (status !== undefined && !STATUSES.includes(status)) {
    throw new UsageError(`--status is one of ${STATUSES.join(', ')}`);
  }
  if (status !== undefined && all) throw new UsageError('--status cannot be combined with --all');
  const tenant = options.get('tenant');
  const tenantId = tenant === undefined ? undefined : await idOf(client, tenant);
  const statuses = status === undefined ? (all ? [undefined] : ['open', 'acknowledged']) : [status];
  const lists: Alert[][] = [];
  for (const each of statuses) {
    const query = new URLSearchParams({
      ...(each === undefined ? {} : { status: each }),
      ...(options.has('kind') ? { kind: options.get('kind') as string } : {}),
      ...(options.has('cell') ? { cellId: options.get('cell') as string } : {}),
      ...(tenantId === undefined ? {} : { tenantId }),
    });
    lists.push(await pagesOf(client, query));
  }
  return lists.flat().sort((one, other) => (one.openedAt < other.openedAt ? 1 : -1));
}

async function idOf(client: ApiClient, slug: string): Promise<string> {
  const path = { tenantId: slug };
  const { tenantId } = await bodyOf(client.operations.GET('/tenants/{tenantId}', { params: { path } }));
  return tenantId;
}

async function pagesOf(client: ApiClient, query: URLSearchParams): Promise<Alert[]> {
  const items: Alert[] = [];
  let cursor: string | null = null;
  do {
    const asked = new URLSearchParams(query);
    asked.set('limit', '200');
    if (cursor) asked.set('cursor', cursor);
    const page: { items: Alert[]; nextCursor: string | null } = await client.get(`/alerts?${asked}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor);
  return items;
}
