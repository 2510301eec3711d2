import type { AuditActor } from '../database/registry/control-audit.ts';
import type { DataApi } from '../database/registry/data-api.ts';
import type { Tier } from '../database/registry/tenant-record.ts';

/** PLACEHOLDER of the module that requests moves; the real one replaces this file. */
export async function requestMove(
  _registry: Pick<DataApi, 'transaction' | 'query'>,
  _request: {
    readonly tenantId: string;
    readonly target: { readonly tier: Tier };
    readonly force: boolean;
  },
  _options: {
    readonly actor: AuditActor;
    readonly startedBy: string;
    readonly stateMachineArn: string;
    readonly start: (name: string, input: object) => Promise<void>;
  },
): Promise<string> {
  throw new Error('moves cannot be requested yet');
}
