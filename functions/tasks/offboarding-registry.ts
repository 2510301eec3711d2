/**
 * The phases of `tenant-offboarding` that need the registries only, and the signature of the certificate; the recovery of
 * offboardings whose executions ended early; and the daily run over the ends of subscriptions. They reach no data database
 * and no object.
 */
import * as z from 'zod';
import { type ReasonOptions, reasonOfFailure } from '../aws/caught-error.ts';
import { executionArnOf, executionStatus, startExecution } from '../aws/executions.ts';
import { logger } from '../aws/logger.ts';
import { publish } from '../aws/publish.ts';
import * as backupErrors from '../backups/errors.ts';
import { type OffboardingRegistryEnvironment, variable } from '../contracts/environments.ts';
import type { OffboardingPolicy, Retention } from '../contracts/offboarding-policy.ts';
import * as exportErrors from '../exports/errors.ts';
import { ExportInProgress } from '../exports/errors.ts';
import { findRunningExport } from '../exports/export-records.ts';
import { requestExport } from '../exports/request-export.ts';
import { certify, eraseRegistry } from '../offboarding/certify.ts';
import * as errors from '../offboarding/errors.ts';
import { OffboardingStepFailed } from '../offboarding/errors.ts';
import {
  beginErasure,
  beginGrace,
  beginOffboarding,
  exportFinally,
  failOffboarding,
} from '../offboarding/offboarding-phases.ts';
import { eraseOtherRegions } from '../offboarding/other-regions.ts';
import { clonesOfOtherRegions } from '../offboarding/other-work.ts';
import { recoverOffboardings } from '../offboarding/recover-offboardings.ts';
import { requestOffboarding } from '../offboarding/request-offboarding.ts';
import { endSubscriptions } from '../offboarding/subscription-ends.ts';
import * as placeErrors from '../places/errors.ts';
import { countExports, getExport } from '../registry/exports.ts';
import type { RegionalRegistries } from '../registry/regional-registries.ts';
import { offboardingState, offboardingTask } from './offboarding-task.ts';
import { phase } from './workflow-task.ts';

const executionArn = z.string().min(1);
const setting = (name: keyof OffboardingRegistryEnvironment & string) =>
  variable<OffboardingRegistryEnvironment>(name);
const policy = () => JSON.parse(setting('OFFBOARDING_POLICY')) as OffboardingPolicy;

/** The tenants of a workflow are in the region of its function. */
const otherClones = (registries: RegionalRegistries) => clonesOfOtherRegions(registries, registries.ownKey);

/** Finds the offboarding that was recorded for this execution, or records one. */
const begin = phase(z.object({ executionArn, input: z.unknown() }), (state, { registry, registries }) =>
  beginOffboarding(registry, state.input, state.executionArn, otherClones(registries)),
);

/** The final export; the workflow calls it until it is done. */
const exports = phase(offboardingState, ({ executionArn: arn, offboarding }, { registry }) => {
  const stateMachineArn = setting('EXPORT_STATE_MACHINE_ARN');
  return exportFinally(registry, offboarding.offboardingId, {
    async request(tenantId) {
      try {
        return await requestExport(registry, tenantId, {
          actor: { id: arn, type: 'workflow' },
          stateMachineArn,
          start: (name, input) => startExecution(stateMachineArn, name, input),
          statusOf: executionStatus,
        });
      } catch (error) {
        // An earlier call has started it, and died before it was recorded.
        const running = error instanceof ExportInProgress && (await findRunningExport(registry, tenantId));
        if (running) return running.exportId;
        throw error;
      }
    },
    read: (tenantId, exportId) => getExport(registry, tenantId, exportId),
    count: (tenantId, since) => countExports(registry, tenantId, since),
  });
});

const grace = phase(offboardingState, ({ offboarding }, { registry }) =>
  beginGrace(registry, offboarding.offboardingId, policy().graceMinutes),
);

/** The point of no return. */
const lastCheck = phase(
  offboardingState,
  async ({ executionArn: arn, offboarding }, { registry, registries }) => {
    const actor = { id: arn, type: 'workflow' } as const;
    await beginErasure(registry, offboarding.offboardingId, actor, otherClones(registries));
    return { done: true };
  },
);

/** What the tenant has left in other regions; the workflow calls it until they have erased it. */
const otherRegions = phase(
  offboardingState,
  async ({ executionArn: arn, offboarding }, { registry, registries }) => ({
    done: await eraseOtherRegions(registry, registries, offboarding.offboardingId, {
      actor: { id: arn, type: 'workflow' },
      stateMachineArn: setting('OFFBOARDING_STATE_MACHINE_ARN'),
    }),
  }),
);

const registryRows = phase(offboardingState, async ({ offboarding }, { registry }) => {
  await eraseRegistry(registry, offboarding.offboardingId);
  return { done: true };
});

/** Issues the certificate; its id is the execution's output. */
const issue = phase(offboardingState, async ({ executionArn: arn, offboarding }, { registry }) => {
  await certify(registry, offboarding.offboardingId, {
    keyArn: setting('CERTIFICATE_KEY_ARN'),
    retention: JSON.parse(setting('RETENTION')) as Retention,
    actor: { id: arn, type: 'workflow' },
  });
  return { done: true };
});

const FAILURES: ReasonOptions = {
  what: 'offboarding',
  vouched: { ...errors, ...exportErrors, ...backupErrors, ...placeErrors },
  fallback: new OffboardingStepFailed().message,
};

/**
 * Records why the execution failed. In the erasure, and under a legal hold, the record stays running, and recovery continues it.
 */
const fail = phase(
  z.object({ executionArn, failure: z.object({ Error: z.string(), Cause: z.string().optional() }) }),
  async ({ executionArn: arn, failure }, { registry }) => {
    const reason = reasonOfFailure(failure, FAILURES);
    const actor = { id: arn, type: 'workflow' } as const;
    return {
      reason,
      ...(await failOffboarding(registry, arn, { error: failure.Error, reason }, actor)),
    };
  },
);

/** The event of EventBridge about an ended execution. The schedule's event has no `detail`. */
const ended = z.object({ detail: z.object({ executionArn }).optional() });

const recover = phase(ended, async ({ detail }, { registry }) => {
  const recovered = await recoverOffboardings(registry, {
    ended: detail,
    stateMachineArn: setting('OFFBOARDING_STATE_MACHINE_ARN'),
    statusOf: executionStatus,
  });
  // Recovery is an exception, so it is logged as a warning.
  if (recovered.length > 0) logger.warn('recovered', { recovered });
  return { recovered };
});

/** The daily run: announces ends of subscriptions, suspends tenants, and requests their offboarding. */
const subscriptions = phase(z.unknown(), async (_state, { registry, registries }) => {
  const stateMachineArn = setting('OFFBOARDING_STATE_MACHINE_ARN');
  const topic = setting('NOTIFICATION_TOPIC_ARN');
  const actor = { id: 'subscriptions', type: 'system' } as const;
  const run = await endSubscriptions(registry, {
    policy: policy(),
    today: new Date().toISOString().slice(0, 10),
    actor,
    offboard: (tenantId) =>
      requestOffboarding(registry, tenantId, {
        actor,
        cause: 'subscription',
        executionArnOf: (name) => executionArnOf(stateMachineArn, name),
        start: (name, input) => startExecution(stateMachineArn, name, input),
        findOtherClone: otherClones(registries),
      }),
    publish: ({ subject, message }) => publish(topic, subject, message),
    onFailure: (tenantId, error) =>
      logger.error('the end of a subscription was not handled', { tenantId, error: error as Error }),
  });
  logger.info('subscriptions', { ...run });
  if (run.failures > 0)
    throw new OffboardingStepFailed({ cause: new Error(`${run.failures} subscriptions were not handled`) });
  return run;
});

export const phases = {
  begin,
  export: exports,
  grace,
  'last-check': lastCheck,
  'other-regions': otherRegions,
  registry: registryRows,
  certify: issue,
  fail,
  recover,
  subscriptions,
};
export const handler = offboardingTask(phases, 'recover');
