import { startFunction } from '../../aws/call-function.ts';
import { logger } from '../../aws/logger.ts';
import { accountsFunctionName } from '../../contracts/names.ts';
import type { OperatorRegion } from '../../http/operator-api.ts';

/**
 * Has the region's task work on requested accounts at once instead of at its next scheduled run. Never rejects: the
 * schedule does what could not be started.
 */
export async function workOnAccounts({ key, awsRegion }: OperatorRegion): Promise<void> {
  try {
    await startFunction(accountsFunctionName(key), {}, awsRegion);
  } catch (error) {
    logger.warn('the task of accounts was not started; its schedule will', { error: (error as Error).name });
  }
}
