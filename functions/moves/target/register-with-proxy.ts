import { reconcileProxyAuth } from '../../places/proxy-auth.ts';
import type { RegistryExecutor } from '../../registry/data-api.ts';
import type { StepContext, StepOutcome } from '../hop.ts';

const LONGEST_PATIENCE_MS = 45_000;

/**
 * Makes the proxy of the target's cell accept the target's secret, which the hop names since `credentials`. A dedicated
 * database's proxy has its one secret from its stack.
 * @throws {MoveAborted}
 * @throws {ProxyBusy | ProxyLeaseLost} transient.
 * @throws {ProxySecretsExhausted | UnknownCell}
 */
export async function registerWithProxy(
  registry: RegistryExecutor,
  context: StepContext,
): Promise<StepOutcome> {
  const { isolationModel, cellId } = context.hop.target;
  if (isolationModel !== 'schema' || cellId === null) return { done: true };
  await context.progress({});
  const left = Math.max(0, context.deadline - performance.now());
  await reconcileProxyAuth(registry, cellId, { patienceMs: Math.min(left, LONGEST_PATIENCE_MS) });
  return { done: true };
}
