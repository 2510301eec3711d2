import { UserPools } from '../identity/user-pools.ts';
import type { AwsEndpoint, PlatformContext, RequestHandler } from '../model.ts';
import { Dispatcher } from './dispatcher.ts';
import { FunctionNetwork } from './function-network.ts';
import { awsHttpServer } from './http-server.ts';
import { Authorizer } from './iam/authorizer.ts';
import type { PolicyDocument } from './iam/policy-document.ts';
import type { ServiceCall, ServiceModule } from './service.ts';
import { cloudFormation } from './services/cloudformation/cloudformation.ts';
import { permitted } from './services/cloudformation/handler-permissions.ts';
import { RunTimeStacks } from './services/cloudformation/run-time-stacks.ts';
import { stackEvent } from './services/cloudformation/stack-descriptions.ts';
import { StackStore } from './services/cloudformation/stack-store.ts';
import { cognitoIdp } from './services/cognito-idp/cognito-idp.ts';
import { EventBus } from './services/events/event-bus.ts';
import { events } from './services/events/events.ts';
import { Fauxqs } from './services/fauxqs.ts';
import { KeyStore } from './services/kms/key-store.ts';
import { kms } from './services/kms/kms.ts';
import { lambda } from './services/lambda/lambda.ts';
import { logs } from './services/logs/logs.ts';
import { ProxyLogins } from './services/rds/proxy-logins.ts';
import { rds } from './services/rds/rds.ts';
import { RdsStore } from './services/rds/rds-store.ts';
import { ConnectionPools } from './services/rds-data/connection-pools.ts';
import { rdsData } from './services/rds-data/rds-data.ts';
import { Transactions } from './services/rds-data/transactions.ts';
import { s3 } from './services/s3/s3.ts';
import { ScheduleRunner } from './services/scheduler/schedule-runner.ts';
import { inputOf } from './services/scheduler/schedule-target.ts';
import { scheduler } from './services/scheduler/scheduler.ts';
import { Schedules } from './services/scheduler/schedules.ts';
import { SecretPermissions } from './services/secrets-manager/secret-permissions.ts';
import { SecretStore, versionIdOf } from './services/secrets-manager/secret-store.ts';
import { secretsManager } from './services/secrets-manager/secrets-manager.ts';
import { QuotaStore, serviceQuotas } from './services/service-quotas/service-quotas.ts';
import { sns } from './services/sns/sns.ts';
import { sqs } from './services/sqs/sqs.ts';
import { ExecutionRunner } from './services/states/execution-runner.ts';
import { ExecutionStore } from './services/states/execution-store.ts';
import type { StateMachines } from './services/states/state-machines.ts';
import { states, statusEvent } from './services/states/states.ts';
import { TaskResources } from './services/states/task-resources.ts';
import { sts } from './services/sts/sts.ts';
import { telemetry } from './services/telemetry/telemetry.ts';
import { Targets } from './targets.ts';

export interface AwsEndpointOptions {
  context: PlatformContext;
  /** Called first for each request (the issuer's documents and sign-in); returns true when it has responded. */
  before: RequestHandler[];
  /** The user pools of the templates. Absent: there are none. */
  userPools?: UserPools;
}

/**
 * The local AWS endpoint: the services that the templates use, in AWS's wire protocols, with IAM decided by the
 * templates' own policies. It listens only after `listen`; the assembly need not exist before.
 */
export function createAwsEndpoint({ context, before, userPools }: AwsEndpointOptions): AwsEndpoint {
  const { state } = context;
  const authorizer = new Authorizer(context);
  const secrets = new SecretStore(state);
  const keys = new KeyStore(state);
  const databases = new RdsStore(state, context.waitScale);
  const quotas = new QuotaStore(state);
  const logins = new ProxyLogins({ store: databases, secrets, clusters: context.clusters, state });
  const machines: StateMachines = new Map();
  const executions = new ExecutionStore(state);
  const call: ServiceCall = (...parameters) => dispatcher.call(...parameters);
  const fauxqs = new Fauxqs(context.stateDir);
  const targets = new Targets(context, authorizer, call, async (arn) => {
    const policy = await fauxqs.policyOf(arn);
    return policy === undefined ? undefined : (JSON.parse(policy) as PolicyDocument);
  });
  const bus = new EventBus(context, targets);
  const stackStore = new StackStore(state, ({ id: arn, region, status, statusReason: reason }) =>
    bus.publish(stackEvent({ arn, region, status, reason })),
  );
  const stacks = new RunTimeStacks(context, stackStore, authorizer);
  const pools = new ConnectionPools(context);
  const transactions = new Transactions(pools);
  const tasks = new TaskResources(context, authorizer, call);
  const executionRunner = new ExecutionRunner(executions, tasks, authorizer, context.waitScale, (execution) =>
    bus.publish(statusEvent(execution)),
  );
  const schedules = new Schedules(state);
  const scheduleRunner = new ScheduleRunner({
    schedules,
    waitScale: context.waitScale,
    log: context.log,
    run: (schedule, run) =>
      targets.invoke({
        targetArn: schedule.target.arn,
        region: schedule.region,
        invoker: { kind: 'role', roleArn: schedule.target.roleArn, sessionName: schedule.name },
        payload: inputOf(schedule, run),
      }),
  });

  /** Services are resumed and stopped in this order. */
  const modules: ServiceModule[] = [
    cloudFormation(context, stackStore, stacks),
    scheduler(schedules, scheduleRunner),
    // Before the executions: when they resume, the bus must be open to store what they publish; and when they are
    // stopped, it must be closed, so that events of their ends are delivered to the functions of the next start.
    events(bus),
    states(machines, executions, executionRunner),
    rdsData({
      context,
      secrets,
      secretPermissions: new SecretPermissions(secrets, keys),
      pools,
      transactions,
      httpEndpointEnabled: (arn) => {
        const deployed = databases.clusters.get(arn);
        // Until its stack is deployed again, a cluster has its state of the last start.
        return !deployed || deployed.properties.EnableHttpEndpoint === true;
      },
    }),
    rds(databases, {
      logins,
      context,
      quotas,
      secrets,
      isRestarted: (stackArn) => stacks.isRestarted(stackArn),
    }),
    serviceQuotas(quotas),
    kms(keys),
    secretsManager(secrets, keys, (targetId, region) => {
      const cluster = databases.clusterByIdentifier(targetId, region);
      const running = cluster && context.clusters.byArn(cluster.arn);
      if (!cluster || !running) return undefined;
      const { host, port, databaseName: dbname } = running;
      return { engine: 'postgres', host, port, dbname, dbClusterIdentifier: cluster.identifier };
    }),
    lambda(context),
    cognitoIdp(userPools ?? new UserPools(state)),
    sns(fauxqs, context, targets),
    sqs(fauxqs),
    s3(fauxqs),
    sts,
    logs(context),
    ...telemetry,
  ];
  const dispatcher = new Dispatcher(
    modules.flatMap(({ service }) => service ?? []),
    authorizer,
    context.log,
  );
  const server = awsHttpServer(dispatcher, before, new FunctionNetwork(context));

  return {
    factories: modules.flatMap(({ resources }) => resources),
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
      for (const module of modules) await module.resume?.();
    },
    async stop() {
      for (const module of modules) await module.stop?.();
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
