import type { Guards } from './guards.ts';
import type { Place, Placement, State } from './state.ts';

export type Answer =
  | { readonly kind: 'entered'; readonly row: Placement }
  | { readonly kind: 'TN001' | 'TN003' | 'TN004' }
  | { readonly kind: 'TN002'; readonly forward: Place };

/** `tenancy.enter`, in the order of its checks. Roles are left out: a role belongs to an epoch. */
export function enter(state: State, at: Place, access: 'read' | 'write', guards: Guards): Answer {
  const row = state.databases[at.database]?.row;
  if (!row) return { kind: 'TN004' };
  if (guards.epochChecked && row.epoch !== at.epoch) {
    if (row.forward && row.epoch - 1 === at.epoch) return { kind: 'TN002', forward: row.forward };
    return { kind: 'TN003' };
  }
  if (row.state === 'moved') return { kind: 'TN002', forward: row.forward as Place };
  if (row.state === 'fenced' && access === 'write') return { kind: 'TN001' };
  return { kind: 'entered', row };
}

/** What the router does about a refusal. */
export function follow(state: State, client: { cache: Place }, answer: Answer): void {
  if (answer.kind === 'TN004') state.failure = 'a client was told that the tenant is unknown';
  else if (answer.kind === 'TN002' && answer.forward.epoch > client.cache.epoch)
    client.cache = answer.forward;
  else if (answer.kind !== 'TN001') client.cache = state.registry;
}
