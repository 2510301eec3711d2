import { tenantPath } from '../api-client.ts';
import type { Command } from '../command.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

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
  flags: LISTING_FLAGS,
  summary: 'what was decided on a tenant’s promotion, and why',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await (await api()).list<Decision>(`${tenantPath(slug)}/decisions`);
    showList(screen, flags, found, {
      titles: ['decided', 'decision', 'tier', 'move', 'why'],
      rowOf: (one) => [minute(one.decidedAt), one.decision, one.targetTier, one.moveId, why(one)],
    });
    return true;
  },
};

export const offers: Command = {
  name: 'offers',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'promotions that wait for a yes, and those that had one',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await (await api()).list<Offer>(`${tenantPath(slug)}/offers`);
    showList(screen, flags, found, {
      titles: ['made', 'offer', 'tier', 'status', 'move', 'why'],
      rowOf: (one) => [minute(one.createdAt), one.offerId, one.targetTier, one.status, one.moveId, why(one)],
    });
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

export const decline: Command = {
  name: 'decline',
  words: 'SLUG OFFERID',
  summary: 'declines an offer; the next one of that tier waits for a while',
  async run({ words: [slug = '', offerId = ''] }, { api, screen }) {
    await (await api()).send('POST', `${tenantPath(slug)}/offers/${encodeURIComponent(offerId)}/decline`);
    screen.line(`offer declined: ${slug} stays where it is`);
    return true;
  },
};

function why({ reasons }: Grounds): string {
  return reasons.map(({ detail }) => detail).join(' ');
}
