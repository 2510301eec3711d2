import { setTimeout as delay } from 'node:timers/promises';
import type { AwsEndpoint, AwsEndpointOptions, ResourceFactory } from '../model.ts';
import { Dispatcher } from './dispatcher.ts';
import { FunctionNetwork } from './function-network.ts';
import { awsHttpServer } from './http-server.ts';
import { Authorizer } from './iam/authorizer.ts';
import { clusterResource, instanceResource } from './resources/database-cluster.ts';
import { databaseGroupResources } from './resources/database-group.ts';
import { proxyResource, targetGroupResource } from './resources/database-proxy.ts';
import { eventRuleResource } from './resources/event-rule.ts';
import { aliasResource, keyResource } from './resources/key.ts';
import { permitted } from './resources/permitted.ts';
import { scheduleResources } from './resources/schedule.ts';
import { secretAttachmentResource, secretResource } from './resources/secret.ts';
import { stateMachineResource } from './resources/state-machine.ts';
import { RunTimeStacks } from './services/cloudformation/run-time-stacks.ts';
import { cloudFormation } from './services/cloudformation/service.ts';
import { stackEvent } from './services/cloudformation/stack-event.ts';
import { StackStore } from './services/cloudformation/stack-store.ts';
import { EventBus } from './services/events/event-bus.ts';
import { KeyStore } from './services/kms/key-store.ts';
import { kms } from './services/kms/service.ts';
import { lambda } from './services/lambda.ts';
import { ProxyLogins } from './services/rds/proxy-logins.ts';
import { RdsStore } from './services/rds/rds-store.ts';
import { rds } from './services/rds/service.ts';
import { ConnectionPools } from './services/rds-data/connection-pools.ts';
import { rdsData } from './services/rds-data/service.ts';
import { Transactions } from './services/rds-data/transactions.ts';
import { ScheduleRunner } from './services/scheduler/schedule-runner.ts';
import { runTarget } from './services/scheduler/schedule-target.ts';
import { Schedules } from './services/scheduler/schedules.ts';
import { scheduler } from './services/scheduler/service.ts';
import { SecretPermissions } from './services/secrets-manager/secret-permissions.ts';
import { SecretStore, versionIdOf } from './services/secrets-manager/secret-store.ts';
import { secretsManager } from './services/secrets-manager/service.ts';
import { QuotaStore, serviceQuotas } from './services/service-quotas.ts';
import { sns } from './services/sns.ts';
import { ExecutionRunner } from './services/states/execution-runner.ts';
import { ExecutionStore } from './services/states/execution-store.ts';
import { states } from './services/states/service.ts';
import type { StateMachines } from './services/states/state-machines.ts';
import { statusEvent } from './services/states/status-event.ts';
import { type ServiceCall, TaskResources } from './services/states/task-resources.ts';
import { sts } from './services/sts.ts';
import { telemetry } from './services/telemetry.ts';

/**
 * The local AWS endpoint: the services that the templates use, in AWS's wire protocols, with IAM decided by the
 * templates' own policies. It listens only after `listen`; nothing of the assembly need stand before.
 */
export function createAwsEndpoint({ context, before }: AwsEndpointOptions): AwsEndpoint {
  const { state } = context;
  const authorizer = new Authorizer(context);
  const secrets = new SecretStore(state);
  const keys = new KeyStore(state);
  const databases = new RdsStore(state, context.waitScale);
  const quotas = new QuotaStore(state);
  const logins = new ProxyLogins({ store: databases, secrets, clusters: context.clusters, state });
  const machines: StateMachines = new Map();
  const executions = new ExecutionStore(state);
  const bus = new EventBus(context);
  const stackStore = new StackStore(state, ({ id: arn, region, status, statusReason: reason }) =>
    bus.publish(stackEvent({ arn, region, status, reason })),
  );
  const stacks = new RunTimeStacks(context, stackStore, authorizer);
  const pools = new ConnectionPools(context);
  const transactions = new Transactions(pools);
  const call: ServiceCall = (...parameters) => dispatcher.call(...parameters);
  const tasks = new TaskResources(context, authorizer, call);
  const runner = new ExecutionRunner(executions, tasks, authorizer, context.waitScale, (execution) =>
    bus.publish(statusEvent(execution)),
  );
  const schedules = new Schedules(state);
  const scheduleRunner = new ScheduleRunner({
    schedules,
    waitScale: context.waitScale,
    run: (schedule, run) => runTarget(schedule, run, { context, authorizer, call }),
    log: context.log,
  });
  const dispatcher = new Dispatcher(
    [
      secretsManager(secrets, keys),
      kms(keys),
      rdsData({
        context,
        secrets,
        secretPermissions: new SecretPermissions(secrets, keys),
        pools,
        transactions,
        httpEndpointEnabled: (arn) => {
          const deployed = databases.clusters.get(arn);
          // Until its stack is deployed again, a cluster of the last start is what it was.
          return !deployed || deployed.properties.EnableHttpEndpoint === true;
        },
      }),
      rds(databases, { logins, context, quotas }),
      serviceQuotas(quotas),
      states(machines, executions, runner),
      cloudFormation(context, stackStore, stacks),
      lambda(context),
      scheduler(schedules),
      sts,
      sns(context),
      ...telemetry,
    ],
    authorizer,
    context.log,
  );
  const server = awsHttpServer(dispatcher, before, new FunctionNetwork(context));

  const isRestarted = (stackArn: string): boolean => stacks.isRestarted(stackArn);
  const factories: ResourceFactory[] = [
    secretResource(secrets),
    secretAttachmentResource(secrets, (targetId, region) => {
      const cluster = databases.clusterByIdentifier(targetId, region);
      const running = cluster && context.clusters.byArn(cluster.arn);
      if (!cluster || !running) return undefined;
      const { host, port, databaseName: dbname } = running;
      return { engine: 'postgres', host, port, dbname, dbClusterIdentifier: cluster.identifier };
    }),
    keyResource(keys),
    aliasResource(keys),
    ...databaseGroupResources(databases),
    clusterResource(databases, secrets, isRestarted),
    instanceResource(databases, isRestarted),
    proxyResource(databases, logins, isRestarted),
    targetGroupResource(databases, logins),
    stateMachineResource(machines),
    eventRuleResource(bus),
    ...scheduleResources(scheduleRunner),
  ];

  return {
    factories,
    permitted: (factory) => permitted(factory, stacks, authorizer),
    secretString(secretId, region) {
      const secret = secrets.get(secretId, region);
      const value = secret.versions[versionIdOf(secret, 'AWSCURRENT') ?? '']?.secretString;
      if (value === undefined) throw new Error(`secret ${secret.name} has no value`);
      return value;
    },
    listen: (port) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', () => {
          server.off('error', reject);
          resolve();
        });
      }),
    stackEnded: ({ arn, region }, { status, reason }) =>
      bus.publish(stackEvent({ arn, region, status, reason })),
    async resume() {
      await stacks.resume();
      bus.open();
      // After the bus, which makes durable what it is told only once it is open.
      runner.resume();
      scheduleRunner.start();
    },
    async stop() {
      stacks.stop();
      scheduleRunner.stop();
      // First, so that the ends of executions are told to the functions of the next start.
      bus.close();
      await runner.stopAll('The platform was stopped.').catch(() => {});
      transactions.close();
      // A statement that runs long must not hold up the end; its server is stopped next.
      await Promise.race([pools.close(), delay(1_000, undefined, { ref: false })]);
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
