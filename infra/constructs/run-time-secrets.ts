import { ArnFormat, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { DEDICATED_SECRETS, TENANT_SECRETS } from '../../functions/contracts/names.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { grantSecretRead, grantSecretRenewal } from './database-secret.ts';

/**
 * Secrets that onboarding and moves create at run time, so that only patterns of their names are known here:
 * - `strata/tenant/<tenantId>/<role>`: a tenant's login role; requests sign in with it;
 * - `strata/dedicated/<tenantId>/owner|master`: of an Enterprise tenant's cluster; workflow tasks only.
 */
export class RunTimeSecrets extends Construct {
  readonly tenantPattern: string;
  readonly dedicatedPattern: string;
  readonly keyArn: string;

  constructor(scope: Construct, id: string, keyArn: string) {
    super(scope, id);
    this.keyArn = keyArn;
    const named = (resourceName: string): string =>
      Stack.of(this).formatArn({
        service: 'secretsmanager',
        resource: 'secret',
        resourceName,
        arnFormat: ArnFormat.COLON_RESOURCE_NAME,
      });
    this.tenantPattern = named(`${TENANT_SECRETS}*`);
    this.dedicatedPattern = named(`${DEDICATED_SECRETS}*`);
  }

  /** May sign in as any tenant's login role. `why` goes into the acknowledged finding. */
  grantReadTenant(grantee: IGrantable, why: string): Grant {
    acknowledgePattern(grantee, this.tenantPattern, why);
    return grantSecretRead(grantee, this, this.keyArn, [this.tenantPattern]);
  }

  /** May look up the ARN of the secret of a tenant's login role, and not its value. */
  grantFindTenant(grantee: IGrantable, why: string): Grant {
    acknowledgePattern(grantee, this.tenantPattern, why);
    return Grant.addToPrincipal({
      grantee,
      actions: ['secretsmanager:DescribeSecret'],
      resourceArns: [this.tenantPattern],
    });
  }

  /** May sign in as owner or master of any Enterprise tenant's cluster. */
  grantReadDedicated(grantee: IGrantable, why: string): Grant {
    acknowledgePattern(grantee, this.dedicatedPattern, why);
    return grantSecretRead(grantee, this, this.keyArn, [this.dedicatedPattern]);
  }

  /** May give the login role of any tenant, and the owner of any dedicated database, another password. */
  grantRenew(grantee: IGrantable, why: string): void {
    for (const pattern of [this.tenantPattern, this.dedicatedPattern]) {
      acknowledgePattern(grantee, pattern, why);
      grantSecretRenewal(grantee, this, this.keyArn, [pattern]);
    }
  }

  /** May list the names of secrets: a list is not authorized on single secrets. */
  grantList(grantee: IGrantable): Grant {
    acknowledgePattern(
      grantee,
      '*',
      'Secrets Manager lists all secrets or none: whatever an offboarded tenant has left is found this way.',
    );
    return Grant.addToPrincipal({ grantee, actions: ['secretsmanager:ListSecrets'], resourceArns: ['*'] });
  }

  /** May delete the secret of any tenant's login role, immediately and permanently. */
  grantDeleteTenant(grantee: IGrantable, why: string): Grant {
    acknowledgePattern(grantee, this.tenantPattern, why);
    return Grant.addToPrincipal({
      grantee,
      actions: ['secretsmanager:DeleteSecret'],
      resourceArns: [this.tenantPattern],
    });
  }

  /** May delete the secrets of an Enterprise tenant's cluster that is deleted, immediately and permanently. */
  grantDeleteDedicated(grantee: IGrantable, why: string): Grant {
    acknowledgePattern(grantee, this.dedicatedPattern, why);
    return Grant.addToPrincipal({
      grantee,
      actions: ['secretsmanager:DeleteSecret'],
      resourceArns: [this.dedicatedPattern],
    });
  }

  /** May create the secret of a tenant's login role, look it up, and restore it from pending deletion. */
  grantCreateTenant(grantee: IGrantable): Grant {
    const { region } = Stack.of(this);
    return Grant.addToPrincipal({
      grantee,
      actions: [
        'secretsmanager:CreateSecret',
        'secretsmanager:TagResource',
        'secretsmanager:DescribeSecret',
        'secretsmanager:RestoreSecret',
      ],
      resourceArns: [this.tenantPattern],
    }).combine(
      Grant.addToPrincipal({
        grantee,
        actions: ['kms:GenerateDataKey'],
        resourceArns: [this.keyArn],
        conditions: { StringEquals: { 'kms:ViaService': `secretsmanager.${region}.amazonaws.com` } },
      }),
    );
  }
}
