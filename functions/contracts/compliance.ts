/**
 * The isolation that a compliance requirement demands. Every requirement demands at least a schema, because
 * shared tables may not satisfy an auditor; the requirements of healthcare and finance demand a dedicated database.
 *
 * Residency is separate: a tenant's data never leaves the cells of its `dataResidency`.
 */
import type { IsolationModel, Tier } from './tenant.ts';
import { tierTerms } from './tier-terms.ts';

/** The values that a tenant may require. */
export const COMPLIANCE_REQUIREMENTS = ['soc2', 'hipaa', 'gdpr', 'iso27001', 'pci'] as const;

/** A requirement that a place does not satisfy, in words. */
export interface Unsatisfied {
  readonly rule: 'compliance';
  readonly detail: string;
}

/** From the weakest to the strongest. */
const STRENGTH: readonly IsolationModel[] = ['shared', 'schema', 'dedicated'];

/** A Map, because an object also answers to inherited names such as `constructor`. */
const DEMANDS: ReadonlyMap<string, IsolationModel> = new Map([
  ['soc2', 'schema'],
  ['gdpr', 'schema'],
  ['iso27001', 'schema'],
  ['hipaa', 'dedicated'],
  ['pci', 'dedicated'],
]);
/**
 * For values that were stored before the list was fixed, such as `pci-dss`: the first word counts, else this demand.
 */
const DEMAND_OF_OTHERS: IsolationModel = 'schema';

const WORDS: Readonly<Record<IsolationModel, string>> = {
  shared: 'shared tables',
  schema: 'a schema in a shared database',
  dedicated: 'a dedicated database',
};

/** The weakest isolation that satisfies a requirement. */
function demandOf(requirement: string): IsolationModel {
  const [word = ''] = requirement.toLowerCase().split(/[-_.]/);
  return DEMANDS.get(word) ?? DEMAND_OF_OTHERS;
}

/** The requirements that a place of this isolation model does not satisfy. */
export function unsatisfied(requirements: readonly string[], place: IsolationModel): Unsatisfied[] {
  return requirements
    .filter((requirement) => STRENGTH.indexOf(place) < STRENGTH.indexOf(demandOf(requirement)))
    .map((requirement) => ({
      rule: 'compliance',
      detail: `The requirement "${requirement}" does not allow ${WORDS[place]}.`,
    }));
}

/** The weaker of two isolation models. */
export function weaker(one: IsolationModel, other: IsolationModel): IsolationModel {
  return STRENGTH.indexOf(one) < STRENGTH.indexOf(other) ? one : other;
}

/** The lowest tier whose places satisfy all requirements. */
export function tierSatisfying(requirements: readonly string[]): Tier {
  const tiers = ['starter', 'business', 'enterprise'] as const;
  return tiers.find((tier) => unsatisfied(requirements, tierTerms[tier].isolationModel).length === 0) as Tier;
}
