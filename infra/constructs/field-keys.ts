import { ArnFormat, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { regionFieldKeyAlias, tenantKeyAlias } from '../../functions/contracts/names.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { DataKey } from './data-key.ts';

/** Every use of these keys names a tenant in its encryption context. */
const FOR_A_TENANT = { Null: { 'kms:EncryptionContext:tenantId': 'false' } };
const AT_RUN_TIME =
  'Keys of Enterprise tenants are made at run time and have generated ids; the right is bound to their aliases, or to their tag.';
/** Of the keys of tenants, so that rights can name them before they have an alias. */
const KEY_TAG = { 'strata:component': 'tenant-field-key' };

/**
 * The KMS keys of encrypted fields in one region: the region's, for tenants without a key of their own, and those of
 * Enterprise tenants, which are made at run time under the alias `alias/strata-tenant-<tenantId>`. They encrypt nothing
 * else, so that whoever may read a database, its backups or its secrets cannot read the fields.
 */
export class FieldKeys extends Construct {
  /** Of the region. */
  readonly keyArn: string;

  constructor(scope: Construct, id: string, regionKey: string) {
    super(scope, id);
    const key = new DataKey(this, 'Key', {
      description: `Strata ${regionKey}: encrypted fields of tenants`,
    });
    key.addAlias(regionFieldKeyAlias(regionKey));
    this.keyArn = key.keyArn;
  }

  /** Environment of functions that encrypt or decrypt fields. */
  get environment(): { readonly FIELD_KEY_ARN: string } {
    return { FIELD_KEY_ARN: this.keyArn };
  }

  /** May encrypt and decrypt the fields of any tenant of the region. */
  grantUse(grantee: IGrantable): void {
    const actions = ['kms:GenerateDataKey', 'kms:Decrypt'];
    Grant.addToPrincipal({ grantee, actions, resourceArns: [this.keyArn], conditions: FOR_A_TENANT });
    grantTenantKeys(grantee, Stack.of(this), undefined, actions);
  }

  /** May make the key of an Enterprise tenant, and find it by its alias. */
  grantProvide(grantee: IGrantable): void {
    grantProvideTenantKeys(grantee, Stack.of(this));
  }
}

/** May use the keys of tenants of an AWS region, and those of regions when their aliases are given. */
export function grantTenantKeys(
  grantee: IGrantable,
  stack: Stack,
  awsRegion: string | undefined,
  actions: string[],
  aliases: readonly string[] = [],
): void {
  const keys = anyKey(stack, awsRegion);
  acknowledgePattern(grantee, keys, AT_RUN_TIME);
  Grant.addToPrincipal({
    grantee,
    actions,
    resourceArns: [keys],
    conditions: {
      ...FOR_A_TENANT,
      'ForAnyValue:StringLike': { 'kms:ResourceAliases': [tenantKeyAlias('*'), ...aliases] },
    },
  });
}

/**
 * May make keys of tenants in an AWS region: symmetric ones with the tag, which get aliases of tenants only. It may not
 * change a key's policy, disable or delete one.
 */
export function grantProvideTenantKeys(grantee: IGrantable, stack: Stack, awsRegion?: string): void {
  const keys = anyKey(stack, awsRegion);
  const aliases = stack.formatArn({
    service: 'kms',
    ...(awsRegion === undefined ? {} : { region: awsRegion }),
    resource: 'alias',
    resourceName: tenantKeyAlias('*').replace('alias/', ''),
    arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
  });
  for (const pattern of ['*', keys, aliases]) acknowledgePattern(grantee, pattern, AT_RUN_TIME);
  const grant = (actions: string[], resourceArns: string[], conditions?: Record<string, unknown>) =>
    Grant.addToPrincipal({
      grantee,
      actions,
      resourceArns,
      ...(conditions ? { conditions: conditions as Record<string, Record<string, unknown>> } : {}),
    });
  const requested = tagged('aws:RequestTag');
  grant(['kms:CreateKey'], ['*'], {
    StringEquals: {
      ...requested,
      'kms:KeySpec': 'SYMMETRIC_DEFAULT',
      'kms:KeyUsage': 'ENCRYPT_DECRYPT',
      'aws:RequestedRegion': awsRegion ?? stack.region,
    },
    Bool: { 'kms:BypassPolicyLockoutSafetyCheck': 'false' },
  });
  // Not on a key that has the tag already, with whatever value: the region's own keys have it.
  grant(['kms:TagResource'], [keys], {
    StringEquals: requested,
    Null: { 'aws:ResourceTag/strata:component': 'true' },
  });
  grant(['kms:CreateAlias'], [aliases]);
  grant(['kms:CreateAlias', 'kms:EnableKeyRotation'], [keys], { StringEquals: tagged('aws:ResourceTag') });
  grant(['kms:DescribeKey'], [keys], {
    'ForAnyValue:StringLike': { 'kms:ResourceAliases': tenantKeyAlias('*') },
  });
}

/** May schedule the deletion of tenants' keys, and delete their aliases: for offboarded tenants. The region's keys have another tag. */
export function grantDeleteTenantKeys(grantee: IGrantable, stack: Stack): void {
  const keys = anyKey(stack, undefined);
  const aliases = stack.formatArn({
    service: 'kms',
    resource: 'alias',
    resourceName: tenantKeyAlias('*').replace('alias/', ''),
    arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
  });
  for (const pattern of [keys, aliases]) acknowledgePattern(grantee, pattern, AT_RUN_TIME);
  Grant.addToPrincipal({ grantee, actions: ['kms:DeleteAlias'], resourceArns: [aliases] });
  Grant.addToPrincipal({
    grantee,
    actions: ['kms:DeleteAlias', 'kms:DescribeKey', 'kms:ScheduleKeyDeletion'],
    resourceArns: [keys],
    conditions: { StringEquals: tagged('aws:ResourceTag') },
  });
}

const tagged = (key: 'aws:RequestTag' | 'aws:ResourceTag') =>
  Object.fromEntries(Object.entries(KEY_TAG).map(([name, value]) => [`${key}/${name}`, value]));

const anyKey = (stack: Stack, awsRegion: string | undefined): string =>
  stack.formatArn({
    service: 'kms',
    ...(awsRegion === undefined ? {} : { region: awsRegion }),
    resource: 'key',
    resourceName: '*',
  });
