/** The code that keeps the placement protocol, as far as the scenarios call it. */
export { tenancyFunctions } from '../../../functions/database/provisioning/tenancy-functions.ts';
export * as arrival from '../../../functions/database/transfer/arrival.ts';
export * as claim from '../../../functions/database/transfer/claim.ts';
export * as fence from '../../../functions/database/transfer/fence.ts';
export * as marker from '../../../functions/database/transfer/replication/marker.ts';
export { compareRelocate } from '../../../functions/move/relocate/compare-relocate.ts';
export { cutOverRelocate } from '../../../functions/move/relocate/cut-over-relocate.ts';
export { catchUpReshape } from '../../../functions/move/reshape/catch-up-reshape.ts';
export { copyReshape } from '../../../functions/move/reshape/copy-reshape.ts';
export { cutOverReshape } from '../../../functions/move/reshape/cut-over-reshape.ts';
export { indexReshape } from '../../../functions/move/reshape/index-reshape.ts';
export { prepareReshape } from '../../../functions/move/reshape/prepare-reshape.ts';
export { rollBackReshape } from '../../../functions/move/reshape/roll-back-reshape.ts';
