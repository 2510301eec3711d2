/**
 * The answer to an offer:
 *
 *   open ──accept──▶ accepted, no move ──move started──▶ accepted with its move
 *    ▲                     │
 *    └──move refused───────┘
 *   open ──decline──▶ declined
 *
 * Invariants: an offer starts one move at most. `accepted` is committed before the move is requested, so that neither a
 * decline nor the withdrawal by the daily run can interfere. The next accept repeats one that died in between.
 */
import { sql } from 'kysely';
import { recordAudit } from '../registry/audit-log.ts';
import type { DataApi, RegistryExecutor } from '../registry/data-api.ts';
import { getOffer, type Offer } from '../registry/offers.ts';
import { columnValue, now } from '../registry/registry-expressions.ts';
import { registrySql } from '../registry/registry-sql.ts';
import { getTenant } from '../registry/tenant-record.ts';
import { ResourceConflict } from '../resources/errors.ts';

/**
 * Starts the move of the offer.
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
 * Accepts the offer and starts its move. Accepting it again returns the same move.
 * @throws {ResourceNotFound | ResourceConflict (it was declined or withdrawn, or no longer applies)} and the errors of
 * `startMove`.
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
    // A concurrent accept, or one that died before it recorded the move, may have started the move.
    const started = await startedMove(registry, accepted);
    if (started === undefined) {
      await reopen(registry, accepted);
      throw error;
    }
    moveId = started;
  }
  await registrySql(registry)
    .updateTable('tenant_offers')
    // Accepted again: when two accepts met, the one whose move was refused may have opened the offer again.
    .set({ move_id: moveId, status: 'accepted', decided_by: actor, updated_at: now })
    .where('offer_id', '=', offerId)
    .where('status', 'in', ['open', 'accepted'])
    .where('move_id', 'is', null)
    .execute();
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
    // Locked: an answer must not stay behind when the tenant is handed over to another region.
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
  await registrySql(transaction)
    .updateTable('tenant_offers')
    .set({ status, decided_by: actor, updated_at: now })
    .where('offer_id', '=', offerId)
    .execute();
  await recordAudit(transaction, {
    actor: { id: actor, type: 'operator' },
    action: status === 'accepted' ? 'offer.accept' : 'offer.decline',
    tenantId,
    resource: { type: 'offer', id: offerId },
    data: { targetTier },
  });
}

/** A move of the tenant to that tier that began after the offer was accepted. */
async function startedMove(registry: RegistryExecutor, offer: Offer): Promise<string | undefined> {
  const row = await registrySql(registry)
    .selectFrom('tenant_moves as m')
    .select('m.move_id')
    .where('m.tenant_id', '=', offer.tenantId)
    .where(sql<string>`${sql.ref('m.input')} ->> 'targetTier'`, '=', offer.targetTier)
    .where('m.started_at', '>=', columnValue('tenant_moves.started_at', offer.updatedAt))
    .where('m.status', 'in', ['running', 'succeeded'])
    .orderBy('m.started_at')
    .limit(1)
    .executeTakeFirst();
  return row?.move_id;
}

/** Unless another accept has started its move meanwhile. */
async function reopen(registry: RegistryExecutor, { offerId, updatedAt }: Offer): Promise<void> {
  await registrySql(registry)
    .updateTable('tenant_offers')
    .set({ status: 'open', decided_by: null, updated_at: now })
    .where('offer_id', '=', offerId)
    .where('status', '=', 'accepted')
    .where('move_id', 'is', null)
    .where('updated_at', '=', columnValue('tenant_offers.updated_at', updatedAt))
    .execute();
}
