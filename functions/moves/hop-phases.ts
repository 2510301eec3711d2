import { MoveMismatch } from './errors.ts';
import { closeFormerValues, type SourceCaches } from './former-values.ts';
import type { HopContext, HopKind, PhaseOutcome, PhaseWork } from './hop.ts';
import { catchUpRelocate } from './relocate/catch-up-relocate.ts';
import { compareRelocate } from './relocate/compare-relocate.ts';
import { copyRelocate } from './relocate/copy-relocate.ts';
import { cutOverRelocate } from './relocate/cut-over-relocate.ts';
import { indexRelocate } from './relocate/index-relocate.ts';
import { prepareRelocate } from './relocate/prepare-relocate.ts';
import { catchUpReshape } from './reshape/catch-up-reshape.ts';
import { copyReshape } from './reshape/copy-reshape.ts';
import { cutOverReshape } from './reshape/cut-over-reshape.ts';
import { indexReshape } from './reshape/index-reshape.ts';
import { keepReplaced } from './reshape/keep-replaced.ts';
import { prepareReshape } from './reshape/prepare-reshape.ts';
import { requireKnownTables } from './tables-of-hop.ts';

/** The phases of a hop in which its two kinds differ. */
export const prepare = beforeCommit(byKind({ reshape: prepareReshape, relocate: prepareRelocate }));
export const copy = beforeCommit(byKind({ reshape: copyReshape, relocate: copyRelocate }));
export const index = beforeCommit(byKind({ reshape: indexReshape, relocate: indexRelocate }));
export const catchUp = beforeCommit(byKind({ reshape: catchUpReshape, relocate: catchUpRelocate }));
const commit = beforeCommit(byKind({ reshape: cutOverReshape, relocate: cutOverRelocate }));

/** Ends with the commit point. @param caches of the source's region, where it has some. */
export async function cutOver(
  context: HopContext,
  cursor?: unknown,
  caches?: SourceCaches,
): Promise<PhaseOutcome> {
  await closeFormerValues(caches, context.hop);
  return commit(context, cursor);
}

/** A reshape has compared both sides in one snapshot before it was committed. */
export const compare = byKind({ reshape: keepReplaced, relocate: compareRelocate });

/** After a rollback of the deployment, an older release may have to continue the hop of a newer one. */
function beforeCommit(step: PhaseWork): PhaseWork {
  return async (context, cursor) => {
    if (context.kept.committedAt === undefined) requireKnownTables(context.hop);
    return step(context, cursor);
  };
}

function byKind(kinds: Readonly<Record<HopKind, PhaseWork>>): PhaseWork {
  return async (context, cursor) => {
    try {
      return await kinds[context.hop.kind](context, cursor);
    } catch (error) {
      // Recorded before it is thrown: if the workflow ends now, recovery must neither drop nor use source or target.
      if (error instanceof MoveMismatch) await context.keep({ mismatchAt: new Date().toISOString() });
      throw error;
    }
  };
}
