import { Duration } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import type { RegionConfig } from '../config.ts';
import type { Cell } from './cell.ts';
import type { FieldKeys } from './field-keys.ts';
import type { RegionGrants } from './region-grants.ts';
import type { RegionNetwork } from './region-network.ts';
import type { Registry } from './registry.ts';
import type { RunTimeSecrets } from './run-time-secrets.ts';
import { type FunctionSettings, StrataFunction } from './strata-function.ts';
import { TaskSchedule } from './task-schedule.ts';

export interface FieldRotationProps {
  readonly settings: FunctionSettings;
  readonly region: RegionConfig;
  readonly registry: Registry;
  readonly network: RegionNetwork;
  readonly cells: readonly Cell[];
  readonly secrets: RunTimeSecrets;
  readonly fieldKeys: FieldKeys;
  readonly elsewhere: RegionGrants;
}

/**
 * The worker that copies keys to the second region, and encrypts fields again: after a move to another key, when data keys
 * are old, and on request. It enters tenants with the roles of requests, so it can do nothing to a tenant's rows that a
 * request could not.
 */
export class FieldRotation extends Construct {
  constructor(scope: Construct, id: string, props: FieldRotationProps) {
    super(scope, id);
    const { settings, region, registry, network, cells, secrets, fieldKeys, elsewhere } = props;
    const task = new StrataFunction(this, 'Task', {
      ...settings,
      entry: 'tasks/rotate-fields',
      description: 'Encrypts the fields of tenants again',
      timeout: Duration.minutes(2),
      network: network.forTasks,
      environment: {
        ...registry.writerEnvironment,
        REGION_KEY: region.key,
        ...fieldKeys.environment,
        ...fieldKeys.copyEnvironment,
      },
    });
    registry.grantWrite(task);
    for (const cell of cells) cell.grantStarter(task);
    secrets.grantReadTenant(
      task,
      'The fields of every tenant are encrypted again, so tenants’ secrets are known by pattern only.',
    );
    fieldKeys.grantUse(task);
    fieldKeys.grantProvide(task);
    fieldKeys.grantCopy(task);
    elsewhere.grantOpenFields(task);
    new TaskSchedule(this, 'Schedule', {
      name: `strata-${region.key}-field-rotation`,
      description: 'Encrypts fields again',
      expression: 'rate(1 minute)',
      punctual: true,
      task,
    });
  }
}
