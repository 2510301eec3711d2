/** `npm run cost-model`: reads a `CostBasis` as JSON from standard input, and prints docs/cost-model.md. */
import { text } from 'node:stream/consumers';
import type { CostBasis } from '../contracts/price-table.ts';
import { costModel } from './cost-model.ts';

process.stdout.write(costModel(JSON.parse(await text(process.stdin)) as CostBasis));
