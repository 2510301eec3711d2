import type { Construct } from 'constructs';
import type { Cell } from './cell.ts';
import type { RegionNetwork } from './region-network.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { StrataFunction, type StrataFunctionProps } from './strata-function.ts';

/** The data databases of a region: cells, and those of Enterprise tenants. */
export interface DataDatabases {
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  /** With those of the owners of Enterprise tenants' databases. */
  readonly secrets: RunTimeSecrets;
}

export type OwnerTaskProps = StrataFunctionProps & {
  readonly databases: DataDatabases;
  /** Why the task needs the databases of all Enterprise tenants, for the acknowledged finding. */
  readonly why: string;
};

/** A workflow's function that signs in as the owner of any data database of the region, inside the network. */
export class OwnerTask extends StrataFunction {
  constructor(scope: Construct, id: string, { databases, why, ...props }: OwnerTaskProps) {
    super(scope, id, { ...props, network: databases.network.forTasks, watchedByWorkflow: true });
    grantOwners(this, databases, why);
  }
}

/** May sign in as the owner of any data database of the region. `why` goes into the acknowledged finding. */
export function grantOwners(
  grantee: StrataFunction,
  { cells, secrets }: Pick<DataDatabases, 'cells' | 'secrets'>,
  why: string,
): void {
  for (const cell of cells) cell.grantOwner(grantee);
  secrets.grantReadDedicated(grantee, why);
}
