import type { Scenario } from './scenario.ts';
import { clientFromAnEarlierStay } from './scenarios/client-from-an-earlier-stay.ts';
import { copyFrozenSinceBeforeTheRounds } from './scenarios/copy-frozen-since-before-the-rounds.ts';
import { moverOutOfTurn } from './scenarios/mover-out-of-turn.ts';
import { moverThatWakesUp } from './scenarios/mover-that-wakes-up.ts';
import { rowThatDiffersAfterTheCopy } from './scenarios/row-that-differs-after-the-copy.ts';
import { rowThatDiffersAfterTheFlip } from './scenarios/row-that-differs-after-the-flip.ts';
import { snapshotThatWaitedForTheClaimsEnd } from './scenarios/snapshot-that-waited-for-the-claims-end.ts';
import { stepDeliveredAfterTheFlip } from './scenarios/step-delivered-after-the-flip.ts';
import { stepFrozenSinceBeforeTheRollBack } from './scenarios/step-frozen-since-before-the-roll-back.ts';
import { writeBehindTheFence } from './scenarios/write-behind-the-fence.ts';
import { writeInFlightAtTheFence } from './scenarios/write-in-flight-at-the-fence.ts';
import { writeInFlightAtTheFlip } from './scenarios/write-in-flight-at-the-flip.ts';
import { writeInFlightWhenCaptureBegins } from './scenarios/write-in-flight-when-capture-begins.ts';
import { writeThatHasNotArrived } from './scenarios/write-that-has-not-arrived.ts';
import { writeThatWaitsWhileCaptureBegins } from './scenarios/write-that-waits-while-capture-begins.ts';

/** In which no row goes from one database to another. */
export const scenarios = {
  writeInFlightAtTheFlip,
  writeThatWaitsWhileCaptureBegins,
  writeInFlightWhenCaptureBegins,
  clientFromAnEarlierStay,
  stepFrozenSinceBeforeTheRollBack,
  stepDeliveredAfterTheFlip,
  snapshotThatWaitedForTheClaimsEnd,
  copyFrozenSinceBeforeTheRounds,
  rowThatDiffersAfterTheCopy,
  rowThatDiffersAfterTheFlip,
  moverOutOfTurn,
} as const satisfies Record<string, Scenario>;

/** In which rows are replicated. */
export const relocationScenarios = {
  writeThatHasNotArrived,
  writeBehindTheFence,
  writeInFlightAtTheFence,
  moverThatWakesUp,
} as const satisfies Record<string, Scenario>;
