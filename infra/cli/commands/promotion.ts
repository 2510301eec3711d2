import { tenantPath } from '../api-paths.ts';
import type { Command } from '../command.ts';
import { table } from '../table.ts';

interface Grounds {
  targetTier: string | null;
  reasons: { rule: string; detail: string }[];
  moveId?: string | null;
}

interface Decision extends Grounds {
  decision: string;
  decidedAt: string;
}

interface Offer extends Grounds {
  offerId: string;
  status: string;
  createdAt: string;
}

export const decisions: Command = {
  name: 'decisions',
  words: 'SLUG',
  summary: 'what was decided on a tenant’s promotion, and why',
  async run({ words: [slug = ''] }, { api, screen }) {
    const found = await (await api()).list<Decision>(`${tenantPath(slug)}/decisions`);
    const rows = found.map((one) => [
      minute(one.decidedAt),
      one.decision,
      one.targetTier,
      one.moveId,
      why(one),
    ]);
    for (const line of table(['decided', 'decision', 'tier', 'move', 'why'], rows)) screen.line(line);
    return true;
  },
};

export const offers: Command = {
  name: 'offers',
  words: 'SLUG',
  summary: 'promotions that wait for a yes, and those that had one',
  async run({ words: [slug = ''] }, { api, screen }) {
    const found = await (await api()).list<Offer>(`${tenantPath(slug)}/offers`);
    const rows = found.map((one) => [
      minute(one.createdAt),
      one.offerId,
      one.targetTier,
      one.status,
      one.moveId,
      why(one),
    ]);
    for (const line of table(['made', 'offer', 'tier', 'status', 'move', 'why'], rows)) screen.line(line);
    return true;
  },
};

export const accept: Command = {
  name: 'accept',
  words: 'SLUG OFFERID',
  summary: 'accepts an offer, which starts its move',
  async run({ words: [slug = '', offerId = ''] }, { api, screen }) {
    const path = `${tenantPath(slug)}/offers/${encodeURIComponent(offerId)}/accept`;
    const { location } = await (await api()).ask('POST', path);
    const moveId = location?.split('/').at(-1) ?? '';
    screen.line(`offer accepted: move ${moveId} of ${slug} has started`);
    screen.line(`watch it with: strata watch ${slug} ${moveId}`);
    return true;
  },
};

function minute(time: string): string {
  return time.slice(0, 16).replace('T', ' ');
}

function why({ reasons }: Grounds): string {
  return reasons.map(({ detail }) => detail).join(' ');
}
