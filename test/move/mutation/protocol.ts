/** The code that keeps the placement protocol, as far as the scenarios call it. */
export { tenancyFunctions } from '../../../functions/database/provisioning/tenancy-functions.ts';
export * as claim from '../../../functions/database/transfer/claim.ts';
export * as fence from '../../../functions/database/transfer/fence.ts';
export * as marker from '../../../functions/database/transfer/replication/marker.ts';
export * as arrival from '../../../functions/database/transfer/target-placement.ts';
export { compareRelocate } from '../../../functions/moves/relocate/compare-relocate.ts';
export { cutOverRelocate } from '../../../functions/moves/relocate/cut-over-relocate.ts';
export { catchUpReshape } from '../../../functions/moves/reshape/catch-up-reshape.ts';
export { copyReshape } from '../../../functions/moves/reshape/copy-reshape.ts';
export { cutOverReshape } from '../../../functions/moves/reshape/cut-over-reshape.ts';
export { indexReshape } from '../../../functions/moves/reshape/index-reshape.ts';
export { prepareReshape } from '../../../functions/moves/reshape/prepare-reshape.ts';
export { rollBackReshape } from '../../../functions/moves/reshape/roll-back-reshape.ts';
