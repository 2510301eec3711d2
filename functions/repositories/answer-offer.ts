/**
 * What becomes of an offer when somebody answers it:
 *
 *   open ──accept──▶ accepted, no move ──move started──▶ accepted with its move
 *    ▲                     │
 *    └──move refused───────┘
 *   open ──decline──▶ declined
 *
 * Invariants: an offer leads to one move at most. `accepted` is committed before the move is asked for, so that a
 * decline, or the withdrawal by the daily run, cannot cross it; whoever died in between is repeated by the next accept.
 */
import { recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { ResourceConflict } from './errors.ts';
import { getOffer, type Offer } from './offers.ts';
import { getTenant } from './tenants.ts';

/**
 * Starts the move that the offer is about.
 * @returns the move's id. @throws when it cannot start: the offer is open again then.
 */
export type StartOfferedMove = (request: {
  tenantId: string;
  targetTier: Offer['targetTier'];
}) => Promise<string>;

interface AnswerTarget {
  readonly tenantReference: string;
  readonly offerId: string;
}

/**
 * Accepts the offer and starts its move. Accepting it again answers the same move.
 * @throws {ResourceNotFound | ResourceConflict (it was declined or withdrawn, or has no object any more)} and what
 *   `startMove` throws.
 */
export async function acceptOffer(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  { tenantReference, offerId }: AnswerTarget,
  { actor, startMove }: { actor: string; startMove: StartOfferedMove },
): Promise<Offer & { readonly moveId: string }> {
  const accepted = await registry.transaction((transaction) =>
    accept(transaction, { tenantReference, offerId }, actor),
  );
  if (accepted.moveId !== null) return { ...accepted, moveId: accepted.moveId };
  const { tenantId, targetTier } = accepted;
  let moveId: string;
  try {
    moveId = await startMove({ tenantId, targetTier });
  } catch (error) {
    // Somebody who accepted it at the same time, or died before noting it, may have started the move.
    const started = await startedMove(registry, accepted);
    if (started === undefined) {
      await reopen(registry, accepted);
      throw error;
    }
    moveId = started;
  }
  await registry.query(
    // Accepted once more: where two met, the one whose move was refused may have opened it again.
    `UPDATE tenant_offers SET move_id = :moveId::uuid, status = 'accepted', decided_by = :actor, updated_at = now()
     WHERE offer_id = :offerId::uuid AND status IN ('open', 'accepted') AND move_id IS NULL`,
    { offerId, moveId, actor },
  );
  const offer = await getOffer(registry, tenantId, offerId);
  return { ...offer, moveId: offer.moveId ?? moveId };
}

/** @throws {ResourceNotFound | ResourceConflict (it was accepted or withdrawn)} Declining it again changes nothing. */
export function declineOffer(
  registry: Pick<DataApi, 'transaction'>,
  { tenantReference, offerId }: AnswerTarget,
  { actor }: { actor: string },
): Promise<Offer> {
  return registry.transaction(async (transaction) => {
    // Locked: an answer must not stay behind when the tenant is handed to another region.
    const { tenantId } = await getTenant(transaction, tenantReference, { lock: true });
    const offer = await getOffer(transaction, tenantId, offerId, { lock: true });
    if (offer.status === 'declined') return offer;
    if (offer.status !== 'open') throw new ResourceConflict(`The offer was ${offer.status}.`);
    await settle(transaction, offer, 'declined', actor);
    return getOffer(transaction, tenantId, offerId);
  });
}

async function accept(
  transaction: RegistryExecutor,
  { tenantReference, offerId }: AnswerTarget,
  actor: string,
): Promise<Offer> {
  const { tenantId, tier, status } = await getTenant(transaction, tenantReference, { lock: true });
  const offer = await getOffer(transaction, tenantId, offerId, { lock: true });
  if (offer.status === 'accepted') return offer;
  if (offer.status !== 'open') throw new ResourceConflict(`The offer was ${offer.status}.`);
  if (status !== 'active') throw new ResourceConflict(`The tenant is ${status}.`);
  if (tier === offer.targetTier) throw new ResourceConflict(`The tenant has the tier ${tier} already.`);
  await settle(transaction, offer, 'accepted', actor);
  return getOffer(transaction, tenantId, offerId);
}

async function settle(
  transaction: RegistryExecutor,
  { tenantId, offerId, targetTier }: Offer,
  status: 'accepted' | 'declined',
  actor: string,
): Promise<void> {
  await transaction.query(
    `UPDATE tenant_offers SET status = :status, decided_by = :actor, updated_at = now()
     WHERE offer_id = :offerId::uuid`,
    { offerId, status, actor },
  );
  await recordAudit(transaction, {
    actor: { id: actor, type: 'operator' },
    action: status === 'accepted' ? 'offer.accept' : 'offer.decline',
    tenantId,
    resource: { type: 'offer', id: offerId },
    data: { targetTier },
  });
}

/** A move of the tenant to that tier which began after the offer was accepted. */
async function startedMove(registry: RegistryExecutor, offer: Offer): Promise<string | undefined> {
  const [row] = await registry.query<{ move_id: string }>(
    `SELECT move_id::text AS move_id FROM tenant_moves
     WHERE tenant_id = :tenantId::uuid AND input->>'targetTier' = :targetTier
       AND started_at >= :acceptedAt::timestamptz AND status IN ('running', 'succeeded')
     ORDER BY started_at LIMIT 1`,
    { tenantId: offer.tenantId, targetTier: offer.targetTier, acceptedAt: offer.updatedAt },
  );
  return row?.move_id;
}

/** Unless somebody else has started its move meanwhile. */
async function reopen(registry: RegistryExecutor, { offerId, updatedAt }: Offer): Promise<void> {
  await registry.query(
    `UPDATE tenant_offers SET status = 'open', decided_by = NULL, updated_at = now()
     WHERE offer_id = :offerId::uuid AND status = 'accepted' AND move_id IS NULL
       AND updated_at = :updatedAt::timestamptz`,
    { offerId, updatedAt },
  );
}
