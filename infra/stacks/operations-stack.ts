import { CfnOutput, CustomResource, Duration, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { DedicatedDatabases } from '../constructs/dedicated-databases.ts';
import { Moves } from '../constructs/moves.ts';
import { Onboarding } from '../constructs/onboarding.ts';
import { Reconciliation } from '../constructs/reconciliation.ts';
import { RegionGrants } from '../constructs/region-grants.ts';
import { regionalStackName } from '../constructs/region-names.ts';
import { Restores } from '../constructs/restores.ts';
import { SchemaRollouts } from '../constructs/schema-rollouts.ts';
import { type FunctionSettings, StrataFunction } from '../constructs/strata-function.ts';
import { TaskSchedule } from '../constructs/task-schedule.ts';
import type { RegionalStackProps } from './api-stack.ts';
import type { BackupsStack } from './backups-stack.ts';
import { stackProps, tagStack } from './stack-props.ts';

export interface OperationsStackProps extends RegionalStackProps {
  /** The URL of the region's API, for the registries of all regions. */
  readonly apiUrl: string;
  /** The synthesized template of DedicatedDatabaseStack. */
  readonly dedicatedTemplateFile: string;
  readonly backups: BackupsStack;
}

/**
 * The workflows of a region's tenants with their schedules, the launch of dedicated databases, and the region's
 * registration in all registries.
 */
export class OperationsStack extends Stack {
  readonly dedicated: DedicatedDatabases;
  readonly moves: Moves;

  constructor(scope: Construct, props: OperationsStackProps) {
    const { config, region } = props;
    const description = `Strata: workflows of region ${region.key}`;
    super(scope, regionalStackName(region.key, 'operations'), stackProps(region, description, config));
    tagStack(this, 'data-plane', region, config);
    const { key, network, secrets, fieldKeys } = props.network;
    const { registry, alarmTopicArn } = props.controlPlane;
    const settings: FunctionSettings = { config, bundle: props.bundle, alarmTopicArn };
    for (const cell of props.cells) this.addStackDependency(cell);
    const cells = props.cells.map(({ cell }) => cell);

    const reconcileProxyAuth = new StrataFunction(this, 'ReconcileProxyAuth', {
      ...settings,
      entry: 'tasks/reconcile-proxy-auth',
      description: 'Makes each proxy accept exactly the secrets that the registry says',
      environment: registry.writerEnvironment,
      timeout: Duration.minutes(5),
    });
    registry.grantWrite(reconcileProxyAuth);
    for (const cell of cells) cell.grantProxyAuth(reconcileProxyAuth);
    new TaskSchedule(this, 'ProxyAuthSchedule', {
      name: `strata-${region.key}-proxy-auth`,
      description: 'Repairs the secrets of proxies',
      expression: 'rate(1 minute)',
      punctual: true,
      task: reconcileProxyAuth,
    });

    const dedicated = new DedicatedDatabases(this, 'Dedicated', {
      config,
      region,
      network,
      secrets,
      alarmTopicArn,
      templateFile: props.dedicatedTemplateFile,
      keyArn: key.keyArn,
    });
    this.dedicated = dedicated;
    const elsewhere = new RegionGrants(this, config, region);
    const workflows = { settings, registry, network, cells, secrets, fieldKeys, dedicated, elsewhere };
    const onboarding = new Onboarding(this, 'Onboarding', { ...workflows, region });
    const moves = new Moves(this, 'Moves', { ...workflows, region });
    this.moves = moves;
    const { backups } = props.backups;
    const restores = new Restores(this, 'Restores', { ...workflows, region, moves, backups });

    new Reconciliation(this, 'Reconciliation', { ...workflows, region, moves, bucket: backups.bucket });

    const rollouts = new SchemaRollouts(this, 'Rollouts', { ...workflows, region });

    const registerRegion = new StrataFunction(this, 'RegisterRegion', {
      ...settings,
      entry: 'tasks/register-region',
      description: 'Makes the region known in the registries of all regions, on every deployment',
      environment: { ...registry.writerEnvironment, ...elsewhere.environment },
      timeout: Duration.minutes(5),
    });
    registry.grantWrite(registerRegion);
    elsewhere.grantRegistries(registerRegion);
    const registered = new CustomResource(this, 'Registered', {
      resourceType: 'Custom::StrataRegion',
      serviceToken: registerRegion.functionArn,
      serviceTimeout: Duration.minutes(10),
      properties: {
        RegionKey: region.key,
        AwsRegion: region.awsRegion,
        ApiUrl: props.apiUrl,
        SecretsKeyArn: key.keyArn,
        ...dedicated.launchProperties,
        // A new region and the existing ones are registered with each other.
        Registries: elsewhere.environment.REGISTRIES,
        SchemaHash: props.bundle.hash,
      },
    });
    registered.node.addDependency(registry.schema, registerRegion);
    // Last: the bootstrap of cells has recorded their versions in the registry.
    rollouts.onDeploy(registerRegion, props.bundle.hash, [registered]);

    new CfnOutput(this, 'OnboardingStateMachineArn', { value: onboarding.stateMachine.stateMachineArn });
    new CfnOutput(this, 'RolloutStateMachineArn', { value: rollouts.stateMachine.stateMachineArn });
    new CfnOutput(this, 'MoveStateMachineArn', { value: moves.stateMachine.stateMachineArn });
    new CfnOutput(this, 'RestoreStateMachineArn', { value: restores.stateMachine.stateMachineArn });
  }
}
