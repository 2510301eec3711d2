import type { AuditActor } from '../registry/audit-log.ts';
import type { DataApi } from '../registry/data-api.ts';
import { type Decision, decide } from './decide.ts';
import { PromotionRefused } from './errors.ts';
import { type PromotionFigures, recordedFigures } from './figures.ts';
import { notifyOffers, type PublishNotice } from './notify-offers.ts';
import { type Candidate, countRunningMoves, listCandidates } from './promotion-candidates.ts';
import type { PromotionPolicy } from './promotion-policy.ts';
import { isRepetition, recordDecision, recordOffer, withdrawOffers } from './record-decision.ts';

const PAGE = 50;

/** @returns the move's id. @throws {PromotionRefused} where the move cannot start now. */
export type StartPromotion = (request: { tenantId: string; targetTier: 'business' }) => Promise<string>;

export interface EvaluationOptions {
  readonly region: string;
  readonly policy: PromotionPolicy;
  readonly actor: AuditActor;
  /** The instant that is decided for; the maintenance window and the cool-downs go by it. */
  readonly at: Date;
  /** On `performance.now()`'s clock. */
  readonly deadline: number;
  readonly startPromotion: StartPromotion;
  readonly publish: PublishNotice;
  /** Told of each tenant for which something went wrong. */
  readonly onFailure: (failure: { tenantId: string; error: unknown }) => void;
}

export interface EvaluationOutcome {
  /** False where time ran out. Repeating is safe: what was decided is not decided again. */
  readonly done: boolean;
  readonly decisions: Readonly<Record<Decision['decision'], number>>;
  readonly withdrawn: number;
  readonly failures: number;
}

/**
 * Decides upon every tenant of the region by its latest samples, starts the promotions and makes the offers that are due,
 * and records each decision with its figures. One tenant's failure does not keep the others from being decided upon.
 *
 * A promotion's move starts before its record is written: dying in between leaves a move that its own record tells who
 * started, and no second one, since a moving tenant is left alone.
 * @throws {RegistryError} when the registry does not tell the tenants.
 */
export async function evaluatePromotions(
  registry: Pick<DataApi, 'query' | 'transaction'>,
  { region, policy, actor, at, deadline, startPromotion, publish, onFailure }: EvaluationOptions,
): Promise<EvaluationOutcome> {
  const decisions = { keep: 0, promote: 0, defer: 0, offer: 0 };
  const instant = at.toISOString();
  let failures = 0;
  let runningMoves = await countRunningMoves(registry);
  const withdrawn = await withdrawOffers(registry, actor);
  const done = await eachCandidate(async (candidate) => {
    const figures: PromotionFigures = { ...candidate.figures, at: instant, runningMoves };
    const outcome = await act(candidate, figures, decide(figures, policy));
    decisions[outcome.decision] += 1;
    if (outcome.decision === 'promote') runningMoves += 1;
  });
  for (const failure of await notifyOffers(registry, publish)) fail(failure);
  return { done, decisions, withdrawn, failures };

  async function eachCandidate(visit: (candidate: Candidate) => Promise<void>): Promise<boolean> {
    // One more than it takes, because load is the difference between two samples.
    const samplesEach = policy.enterprise.sustained.last + 1;
    let after: string | undefined;
    for (;;) {
      const page = await listCandidates(registry, { region, after, limit: PAGE, samplesEach });
      if (page.length === 0) return true;
      for (const candidate of page) {
        if (performance.now() > deadline) return false;
        try {
          await visit(candidate);
        } catch (error) {
          fail({ tenantId: candidate.tenantId, error });
        }
        after = candidate.tenantId;
      }
    }
  }

  /** @returns what came of the decision. */
  async function act(
    { tenantId, previous }: Candidate,
    figures: PromotionFigures,
    decision: Decision,
  ): Promise<Decision> {
    const record = { tenantId, decision, figures: recordedFigures(figures) };
    if (decision.decision === 'offer') {
      await recordOffer(registry, record, actor);
      return decision;
    }
    if (decision.decision === 'promote') {
      const started = await start(tenantId, decision);
      if ('moveId' in started) {
        await recordDecision(registry, { ...record, moveId: started.moveId });
        return decision;
      }
      if (!isRepetition(started.deferred, previous, instant)) {
        await recordDecision(registry, { ...record, decision: started.deferred });
      }
      return started.deferred;
    }
    if (!isRepetition(decision, previous, instant)) await recordDecision(registry, record);
    return decision;
  }

  async function start(
    tenantId: string,
    decision: Decision,
  ): Promise<{ moveId: string } | { deferred: Decision }> {
    try {
      return { moveId: await startPromotion({ tenantId, targetTier: 'business' }) };
    } catch (error) {
      if (!(error instanceof PromotionRefused)) throw error;
      const refusal = { rule: error.rule, detail: error.message };
      return { deferred: { ...decision, decision: 'defer', reasons: [...decision.reasons, refusal] } };
    }
  }

  function fail(failure: { tenantId: string; error: unknown }): void {
    failures += 1;
    onFailure(failure);
  }
}
