/** Each guard of the placement protocol is taken out of the real code, and the harm is shown that it prevents. */

import { mutants } from './mutants.ts';
import { proveGuards } from './prove-guards.ts';
import { scenarios } from './scenarios.ts';

proveGuards(scenarios, mutants);
