import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { acceptOffer, declineOffer } from '../../functions/promotion/answer-offer.ts';
import type { DataApi } from '../../functions/registry/data-api.ts';
import { getOffer } from '../../functions/registry/offers.ts';
import { updateTenant } from '../../functions/registry/tenants.ts';
import { daysFromToday, Evaluation } from './evaluation.ts';

const operator = 'operator@strata.test';
let daily: Evaluation;
beforeAll(async () => {
  daily = await Evaluation.create();
});
afterAll(() => daily.world.drop());
beforeEach(() => daily.forget());

describe('a Business tenant with hipaa', () => {
  test('is offered Enterprise once, and people are told', async () => {
    const tenantId = await daily.regulated();
    await daily.change(tenantId, `tenant_name = E'Mercy\\nAccept: POST /elsewhere\\u202e ' || tenant_id`);
    expect((await daily.run()).decisions).toMatchObject({ offer: 1 });
    expect((await daily.run()).decisions).toMatchObject({ offer: 0, keep: 1 });
    const [offer, ...others] = await daily.offersOf(tenantId);
    expect(others).toEqual([]);
    expect(offer).toMatchObject({
      tenantId,
      targetTier: 'enterprise',
      status: 'open',
      moveId: null,
      decidedBy: null,
      reasons: [{ rule: 'compliance' }],
      notifiedAt: expect.any(String),
      figures: { tier: 'business' },
    });
    const [newest, first] = await daily.decisionsOf(tenantId);
    expect(first).toMatchObject({ decision: 'offer', targetTier: 'enterprise', offerId: offer?.offerId });
    expect(newest).toMatchObject({
      decision: 'keep',
      reasons: [{ rule: 'compliance' }, { rule: 'offer-open' }],
    });
    expect(daily.notices).toHaveLength(1);
    // Nor does a name forge a line of what they are told.
    expect(daily.notices[0]?.message).toMatch(/^Mercy Accept: POST \/elsewhere {2}/);
    expect(daily.notices[0]?.message).toContain(`POST /tenants/${tenantId}/offers/${offer?.offerId}/accept`);
  });

  test('that an operator made of a Starter tenant’s new requirement stays open until the tenant has another tier', async () => {
    const tenantId = await daily.starter(1);
    const registry = daily.world.registry as unknown as DataApi;
    const required = { complianceRequirements: ['soc2'] };
    await updateTenant(registry, tenantId, required, { actor: operator, ifMatch: undefined, force: true });
    await daily.run();
    expect(await daily.offersOf(tenantId)).toMatchObject([
      { targetTier: 'business', status: 'open', notifiedAt: expect.any(String) },
    ]);
    await daily.change(tenantId, `subscription_tier = 'business'`);
    expect((await daily.run()).withdrawn).toBe(1);
  });

  test('and a Starter tenant that are clones are neither offered another tier nor promoted', async () => {
    const [regulated, starter] = [await daily.regulated(), await daily.starter(60)];
    for (const tenantId of [regulated, starter]) await daily.change(tenantId, 'clone_of = gen_random_uuid()');
    const registry = daily.world.registry as unknown as DataApi;
    const required = { complianceRequirements: ['soc2'] };
    await updateTenant(registry, starter, required, { actor: operator, ifMatch: undefined, force: true });
    expect((await daily.run()).decisions).toMatchObject({ offer: 0, promote: 0 });
    for (const tenantId of [regulated, starter]) {
      expect(await daily.offersOf(tenantId)).toEqual([]);
      expect(await daily.decisionsOf(tenantId)).toEqual([]);
    }
  });

  test('is told of by the next run when telling failed', async () => {
    const tenantId = await daily.regulated();
    const outcome = await daily.run({
      publish: async () => {
        throw new Error('the topic is away');
      },
    });
    expect(outcome.failures).toBe(1);
    expect(daily.failures).toMatchObject([{ tenantId }]);
    expect((await daily.offersOf(tenantId))[0]?.notifiedAt).toBeNull();
    await daily.run();
    expect((await daily.offersOf(tenantId))[0]?.notifiedAt).not.toBeNull();
    expect(daily.notices).toHaveLength(1);
  });

  test.each([
    ['has become an Enterprise tenant', `subscription_tier = 'enterprise'`],
    ['was moved down to Starter', `subscription_tier = 'starter'`],
    ['is gone', `status = 'offboarded'`],
  ])('has its offer withdrawn when it %s', async (_, change) => {
    const tenantId = await daily.regulated();
    await daily.run();
    await daily.change(tenantId, change);
    expect((await daily.run()).withdrawn).toBe(1);
    expect(await daily.offersOf(tenantId)).toMatchObject([{ status: 'withdrawn', decidedBy: 'promotion' }]);
  });

  test.each(['suspended', 'arriving'])('keeps its offer while it is %s', async (status) => {
    const tenantId = await daily.regulated();
    await daily.run();
    await daily.change(tenantId, `status = '${status}'`);
    expect((await daily.run()).withdrawn).toBe(0);
  });
});

describe('an offer', () => {
  async function openOffer(): Promise<{ tenantId: string; offerId: string }> {
    const tenantId = await daily.regulated();
    await daily.run();
    return { tenantId, offerId: (await daily.offersOf(tenantId))[0]!.offerId };
  }
  const accept = (
    { tenantId, offerId }: { tenantId: string; offerId: string },
    start: Evaluation['startMove'] = daily.startMove,
  ) =>
    acceptOffer(
      daily.world.registry,
      { tenantReference: tenantId, offerId },
      { actor: operator, startMove: start },
    );
  const decline = ({ tenantId, offerId }: { tenantId: string; offerId: string }) =>
    declineOffer(daily.world.registry, { tenantReference: tenantId, offerId }, { actor: operator });
  const unstartable: Evaluation['startMove'] = async () => {
    throw new Error('the move cannot start');
  };

  test('that is accepted starts one move, and accepting it again answers the same', async () => {
    const offer = await openOffer();
    const accepted = await accept(offer);
    expect(accepted).toMatchObject({ status: 'accepted', decidedBy: operator, moveId: expect.any(String) });
    expect((await accept(offer)).moveId).toBe(accepted.moveId);
    const moves = await daily.world.registry.query(
      'SELECT FROM tenant_moves WHERE tenant_id = :tenantId::uuid',
      offer,
    );
    expect(moves).toHaveLength(1);
    await expect(decline(offer)).rejects.toMatchObject({ name: 'ResourceConflict' });
    const audit = await daily.world.registry.query(
      'SELECT actor, action FROM control_audit_log WHERE resource_id = :offerId ORDER BY created_at',
      { offerId: offer.offerId },
    );
    expect(audit).toEqual([
      { actor: 'promotion', action: 'offer.make' },
      { actor: operator, action: 'offer.accept' },
    ]);
  });

  test('that two operators accept at once starts one move, which both are told', async () => {
    const { tenantId, offerId } = await openOffer();
    const acceptances = await Promise.all(
      ['one', 'other'].map(async (actor) => {
        const registry = await daily.world.anotherRegistry();
        const startMove = (request: { tenantId: string; targetTier: string }) =>
          daily.startMove(request, registry);
        return acceptOffer(registry, { tenantReference: tenantId, offerId }, { actor, startMove });
      }),
    );
    const moves = await daily.world.registry.query<{ move_id: string }>(
      'SELECT move_id::text AS move_id FROM tenant_moves WHERE tenant_id = :tenantId::uuid',
      { tenantId },
    );
    expect(moves).toHaveLength(1);
    for (const { moveId, status } of acceptances)
      expect([moveId, status]).toEqual([moves[0]?.move_id, 'accepted']);
    expect(await getOffer(daily.world.registry, tenantId, offerId)).toMatchObject({
      status: 'accepted',
      moveId: moves[0]?.move_id,
    });
  });

  test('is open again when its move cannot start', async () => {
    const offer = await openOffer();
    await expect(accept(offer, unstartable)).rejects.toThrow('the move cannot start');
    expect(await getOffer(daily.world.registry, offer.tenantId, offer.offerId)).toMatchObject({
      status: 'open',
      decidedBy: null,
      moveId: null,
    });
    expect(await accept(offer)).toMatchObject({ status: 'accepted' });
  });

  test('whose acceptance died before the move, or before noting it, is finished by the next', async () => {
    const [before, between] = [await openOffer(), await openOffer()];
    for (const { offerId } of [before, between]) {
      await daily.world.registry.query(
        `UPDATE tenant_offers SET status = 'accepted', updated_at = now() WHERE offer_id = :offerId::uuid`,
        { offerId },
      );
    }
    expect(await accept(before)).toMatchObject({ status: 'accepted', moveId: expect.any(String) });
    const moveId = await daily.startMove({ tenantId: between.tenantId, targetTier: 'enterprise' });
    // A second move of a moving tenant is refused by the registry itself.
    expect(await accept(between)).toMatchObject({ status: 'accepted', moveId });
  });

  test('that is declined stays so, and no other is made for a while', async () => {
    const offer = await openOffer();
    expect(await decline(offer)).toMatchObject({ status: 'declined', decidedBy: operator });
    expect(await decline(offer)).toMatchObject({ status: 'declined' });
    await expect(accept(offer)).rejects.toMatchObject({ name: 'ResourceConflict' });
    await daily.run();
    expect(await daily.offersOf(offer.tenantId)).toHaveLength(1);
    expect((await daily.told(offer.tenantId))[0]).toBe('keep: compliance, offer-declined');
    await daily.addSample(offer.tenantId, { daysAgo: -91 });
    await daily.run({ at: daysFromToday(91) });
    expect(await daily.offersOf(offer.tenantId)).toMatchObject([{ status: 'open' }, { status: 'declined' }]);
  });

  test.each([
    ['suspended', `status = 'suspended'`],
    ['of that tier already', `subscription_tier = 'enterprise'`],
  ])('to a tenant that is %s cannot be accepted', async (_, change) => {
    const offer = await openOffer();
    await daily.change(offer.tenantId, change);
    await expect(accept(offer)).rejects.toMatchObject({ name: 'ResourceConflict' });
  });

  test('of another tenant is not found', async () => {
    const [one, other] = [await openOffer(), await openOffer()];
    const mixed = { tenantId: one.tenantId, offerId: other.offerId };
    const unknown = { ...one, offerId: randomUUID() };
    for (const answer of [() => accept(mixed), () => decline(mixed), () => accept(unknown)]) {
      await expect(answer()).rejects.toMatchObject({ name: 'ResourceNotFound' });
    }
  });
});
