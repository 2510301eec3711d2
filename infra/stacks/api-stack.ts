import { CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { routes as assessmentRoutes } from '../../functions/api/assessments/routes.ts';
import { routes as auditRoutes } from '../../functions/api/audit/routes.ts';
import { routes as peopleRoutes } from '../../functions/api/people/routes.ts';
import { routes as publicRoutes } from '../../functions/api/public/routes.ts';
import { routes as skillsRoutes } from '../../functions/api/skills/routes.ts';
import { routes as usersRoutes } from '../../functions/api/users/routes.ts';
import type { RegionConfig } from '../config.ts';
import { Cell } from '../constructs/cell.ts';
import { ContextApi } from '../constructs/context-api.ts';
import { FieldRotation } from '../constructs/field-rotation.ts';
import { RegionGrants } from '../constructs/region-grants.ts';
import { regionalStackName } from '../constructs/region-names.ts';
import { type FunctionSettings, StrataFunction } from '../constructs/strata-function.ts';
import type { CellStack } from './cell-stack.ts';
import type { ControlPlane } from './control-plane-stack.ts';
import type { NetworkStack } from './network-stack.ts';
import { type SharedSettings, stackProps, tagStack } from './stack-props.ts';

export interface RegionalStackProps extends SharedSettings {
  readonly region: RegionConfig;
  readonly isHome: boolean;
  readonly network: NetworkStack;
  readonly controlPlane: ControlPlane;
  readonly cells: readonly CellStack[];
}

const SERVES_ALL =
  'The function serves whichever tenant a request is for, so tenants’ secrets are known by pattern only.';

/** The data-plane API of one region, and the worker that encrypts its tenants' fields again. */
export class ApiStack extends Stack {
  readonly url: string;
  /** Of the functions that serve tenants. */
  readonly logGroups: readonly ILogGroup[];

  constructor(scope: Construct, props: RegionalStackProps) {
    const { config, region } = props;
    const description = `Strata: data-plane API of region ${region.key}`;
    super(scope, regionalStackName(region.key, 'api'), stackProps(region, description, config));
    tagStack(this, 'data-plane', region, config);
    const { identity, alarmTopicArn } = props.controlPlane;
    const settings: FunctionSettings = { config, bundle: props.bundle, alarmTopicArn };
    // It serves the tenants of the cells without references to the cells' stacks.
    for (const cell of props.cells) this.addStackDependency(cell);

    const domain = config.domainName && `${props.isHome ? '' : `${region.key}.`}${config.domainName}`;
    const people = this.#tenantFunction('People', 'people', 'Employees and teams', domain, props);
    props.network.fieldKeys.grantUse(people);
    const elsewhere = new RegionGrants(this, config, region);
    elsewhere.grantOpenFields(people);
    // It works as requests do, and with their rights.
    new FieldRotation(this, 'FieldRotation', {
      settings,
      region,
      registry: props.controlPlane.registry,
      network: props.network.network,
      cells: props.cells.map(({ cell }) => cell),
      secrets: props.network.secrets,
      fieldKeys: props.network.fieldKeys,
      elsewhere,
    });
    const skills = this.#tenantFunction(
      'Skills',
      'skills',
      'Skills, frameworks and roles of the organisation, and skills of its employees',
      domain,
      props,
    );
    const assessments = this.#tenantFunction(
      'Assessments',
      'assessments',
      'Assessments with their results, and certifications',
      domain,
      props,
    );
    const users = this.#tenantFunction('Users', 'users', 'Users of tenants, and the caller', domain, props);
    const audit = this.#tenantFunction('Audit', 'audit', 'The audit log and its verification', domain, props);
    const open = new StrataFunction(this, 'Public', {
      ...settings,
      entry: 'api/public/handler',
      environment: {},
      description: 'Answers probes, and shows the document of the API',
      memorySize: 128,
      timeout: Duration.seconds(5),
    });

    const api = new ContextApi(this, 'Api', {
      config,
      description: `Strata data plane ${region.key}`,
      issuer: identity.issuer,
      clientIds: identity.clientIds,
      hostName: domain && `*.${domain}`,
      alarmTopicArn,
    });
    api.serve('people', peopleRoutes, people);
    api.serve('skills', skillsRoutes, skills);
    api.serve('assessments', assessmentRoutes, assessments);
    api.serve('users', usersRoutes, users);
    api.serve('audit', auditRoutes, audit);
    api.serve('public', publicRoutes, open, {
      reason:
        'Probes and readers of the documentation have no token; the answers say how the API is used and that it runs.',
    });
    this.logGroups = [people, skills, assessments, users, audit].map(({ logGroup }) => logGroup);
    this.url = api.url;
    new CfnOutput(this, 'ApiUrl', { value: api.url });
  }

  /** It serves one bounded context, inside the network, with the tenants' own database roles. */
  #tenantFunction(
    id: string,
    context: 'assessments' | 'audit' | 'people' | 'skills' | 'users',
    description: string,
    domain: string | undefined,
    {
      config,
      bundle,
      region,
      network: { network, secrets, fieldKeys },
      controlPlane,
      cells,
    }: RegionalStackProps,
  ): StrataFunction {
    const { registry, alarmTopicArn } = controlPlane;
    const task = new StrataFunction(this, id, {
      config,
      bundle,
      alarmTopicArn,
      description,
      network: network.forApi,
      entry: `api/${context}/handler`,
      environment: {
        ...(context === 'users' ? registry.usersEnvironment : registry.readerEnvironment),
        ...fieldKeys.environment,
        REGION_KEY: region.key,
        // The domain under which `{slug}.domain` names a tenant. localhost is included because the same assembly also
        // runs on a developer's machine.
        TENANT_DOMAINS: [domain, 'localhost'].filter(Boolean).join(','),
        ...Cell.cachesEnvironment(cells.map(({ cell }) => cell)),
      },
    });
    if (context === 'users') registry.grantUsers(task);
    else registry.grantRead(task);
    for (const { cell } of cells) {
      cell.grantStarter(task);
      cell.grantCache(task);
    }
    secrets.grantReadTenant(task, SERVES_ALL);
    return task;
  }
}
