import { bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import type { Screen } from '../screen.ts';
import { bytesText, durationText, shownJson } from '../shown-text.ts';
import { LISTING_FLAGS, showList, table } from '../table.ts';

type Cell = Schemas['Cell'];
type Plan = Schemas['RebalancingPlan'];

export const cells: Command = {
  name: 'cells',
  words: '[CELL]',
  flags: LISTING_FLAGS,
  summary: 'all cells and how full they are; with CELL, which tenants should leave it',
  async run({ words: [cellId], flags }, { api, screen }) {
    const { operations } = await api();
    if (cellId !== undefined) {
      const plan = await bodyOf(
        operations.GET('/cells/{cellId}/rebalancing-plan', { params: { path: { cellId } } }),
      );
      if (flags.has('json')) screen.line(shownJson(plan));
      else showPlan(screen, plan);
      return true;
    }
    const { items } = await bodyOf(operations.GET('/cells'));
    showList(screen, flags, items, {
      titles: [
        ...['cell', 'region', 'residency', 'status', 'shared', 'schemas', 'of', 'fill'],
        ...['size', 'connections', 'load', 'slots', 'secrets'],
      ],
      rowOf: (one) => [
        one.cellId,
        one.region,
        one.dataResidency,
        one.status,
        one.sharedTenants,
        one.schemaTenants,
        one.maxSchemaTenants,
        fillOf(one),
        ...usesOf(one),
      ],
    });
    return true;
  },
};

/**
 * A cell runs out of schemas first, because its proxy takes a limited number of secrets. A cell that accepts no more is
 * shown as full.
 */
function fillOf({ schemaTenants, maxSchemaTenants }: Cell): string {
  const share = maxSchemaTenants === 0 ? 1 : schemaTenants / maxSchemaTenants;
  return `${Math.floor(share * 100)} %`;
}

/** What the latest run has measured. */
function usesOf({ utilisation: measured }: Cell): (string | number | null)[] {
  if (!measured) return [null, null, null, null, null];
  const part = (used: number | null, max: number | null) =>
    used === null || max === null ? null : `${used}/${max}`;
  return [
    measured.databaseBytes === null ? null : bytesText(measured.databaseBytes),
    part(measured.connections, measured.maxConnections),
    measured.databaseLoad,
    part(measured.replicationSlots, measured.maxReplicationSlots),
    part(measured.proxySecrets, measured.maxProxySecrets),
  ];
}

const RESOURCES: Readonly<Record<Plan['exceeded'][number]['resource'], string>> = {
  schemas: 'schemas',
  proxySecrets: 'secrets of the proxy',
  databaseBytes: 'bytes',
  connections: 'connections',
  replicationSlots: 'replication slots',
};

function showPlan(screen: Screen, { cellId, exceeded, moves, newCells }: Plan): void {
  if (exceeded.length === 0) {
    screen.line(`cell ${cellId} is within its limits: nothing has to move`);
    return;
  }
  for (const { resource, used, max, share } of exceeded) {
    screen.line(`over its limit: ${used} of ${max} ${RESOURCES[resource]} (${Math.floor(share * 100)} %)`);
  }
  for (const cell of newCells) screen.line(`add cell ${cell} to the configuration and deploy it first`);
  const titles = ['tenant', 'to', 'new', 'size', 'takes', 'pause', 'why'];
  const rows = moves.map((move) => [
    move.slug,
    `cell:${move.targetCell}`,
    move.newCell ? 'yes' : null,
    move.storageBytes === null ? null : bytesText(move.storageBytes),
    move.estimate && durationText(move.estimate.seconds),
    move.estimate && `${move.estimate.writePauseMs} ms`,
    move.reason,
  ]);
  for (const line of table(titles, rows)) screen.line(line);
  screen.line('nothing has moved; try one with: strata move TENANT TO --dry-run');
}
