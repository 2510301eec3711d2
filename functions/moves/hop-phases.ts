import { MoveMismatch } from './errors.ts';
import type { HopKind, PhaseWork } from './hop.ts';
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
import { prepareReshape } from './reshape/prepare-reshape.ts';
import { requireKnownTables } from './tables-of-hop.ts';

/** A reshape has compared both sides in one snapshot before it was committed. */
const nothing: PhaseWork = async () => ({ done: true });

/** The phases of a hop in which its two kinds differ. */
export const prepare = beforeCommit(byKind({ reshape: prepareReshape, relocate: prepareRelocate }));
export const copy = beforeCommit(byKind({ reshape: copyReshape, relocate: copyRelocate }));
export const index = beforeCommit(byKind({ reshape: indexReshape, relocate: indexRelocate }));
export const catchUp = beforeCommit(byKind({ reshape: catchUpReshape, relocate: catchUpRelocate }));
export const cutOver = beforeCommit(byKind({ reshape: cutOverReshape, relocate: cutOverRelocate }));
export const compare = byKind({ reshape: nothing, relocate: compareRelocate });

/** After a rollback of the deployment, an older release may be asked to go on with the hop of a newer one. */
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
      // Kept before it is told: should the workflow end now, recovery must neither drop nor go on with either side.
      if (error instanceof MoveMismatch) await context.keep({ mismatchAt: new Date().toISOString() });
      throw error;
    }
  };
}
