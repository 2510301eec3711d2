/** Prints what the home region's bill is computed from, as JSON: `npm run cost-model` makes the document of it. */

import { costBasisOf } from './cost-basis.ts';
import { loadConfig } from './load-config.ts';

const config = loadConfig();
const [home] = config.regions;
if (!home) throw new Error('there is no region');
process.stdout.write(JSON.stringify(costBasisOf(config, home)));
