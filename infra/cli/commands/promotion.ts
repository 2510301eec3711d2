import { bodyOf } from '../api-client.ts';
import type { Command } from '../command.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

export const decisions: Command = {
  name: 'decisions',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'decisions about the promotion of a tenant, with reasons',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await (await api()).all('/tenants/{tenantId}/decisions', { tenantId: slug });
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
  summary: 'open and answered offers of a higher tier',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await (await api()).all('/tenants/{tenantId}/offers', { tenantId: slug });
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
    const { operations } = await api();
    const { moveId } = await bodyOf(
      operations.POST('/tenants/{tenantId}/offers/{offerId}/accept', {
        params: { path: { tenantId: slug, offerId } },
      }),
    );
    screen.line(`offer accepted: move ${moveId} of ${slug} has started`);
    screen.line(`watch it with: strata watch ${slug} ${moveId}`);
    return true;
  },
};

export const decline: Command = {
  name: 'decline',
  words: 'SLUG OFFERID',
  summary: 'declines an offer; that tier is not offered again for a while',
  async run({ words: [slug = '', offerId = ''] }, { api, screen }) {
    const { operations } = await api();
    await operations.POST('/tenants/{tenantId}/offers/{offerId}/decline', {
      params: { path: { tenantId: slug, offerId } },
    });
    screen.line(`offer declined: ${slug} keeps its tier`);
    return true;
  },
};

function why({ reasons }: { reasons: readonly { detail: string }[] }): string {
  return reasons.map(({ detail }) => detail).join(' ');
}
