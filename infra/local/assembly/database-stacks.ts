/**
 * Which stacks of an assembly have brought database clusters to this state. The servers of such a stack keep running when a
 * later assembly lacks it, but nothing manages them: its secrets, proxy and functions are gone, and the data that others
 * expect there cannot be reached. So an assembly must have all of them, except for those of a region that it leaves out.
 */
import { DatabaseStackMissing } from '../errors.ts';
import type { StateFile } from '../model.ts';
import type { AssemblyStack } from './cloud-assembly.ts';

type Named = Pick<AssemblyStack, 'name' | 'region'>;

const DOCUMENT = 'database-stacks';

/** @throws {DatabaseStackMissing} the assembly lacks a stack with databases of a region that it has. */
export function requireDatabaseStacks(state: StateFile, stacks: readonly AssemblyStack[]): void {
  const missing = remembered(state).find(
    ({ name, region }) =>
      stacks.some((stack) => stack.region === region) &&
      !stacks.some((stack) => stack.region === region && stack.name === name),
  );
  if (missing) throw new DatabaseStackMissing(missing.name);
}

/** Adds those stacks that have database clusters to the ones that later assemblies must have. */
export function rememberDatabaseStacks(state: StateFile, stacks: readonly AssemblyStack[]): void {
  const known = remembered(state);
  const added = stacks
    .filter(({ template }) =>
      Object.values(template.Resources).some(({ Type }) => Type === 'AWS::RDS::DBCluster'),
    )
    .filter(({ name, region }) => !known.some((one) => one.name === name && one.region === region))
    .map(({ name, region }) => ({ name, region }));
  if (added.length > 0) state.save(DOCUMENT, [...known, ...added]);
}

function remembered(state: StateFile): Named[] {
  return state.load<Named[]>(DOCUMENT, []);
}
