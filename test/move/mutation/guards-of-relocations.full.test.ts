/** The same for those guards without which only a relocation does harm. */

import { relocationMutants } from './mutants.ts';
import { proveGuards } from './prove-guards.ts';
import { relocationScenarios } from './scenarios.ts';

proveGuards(relocationScenarios, relocationMutants);
