import { Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { FIELD_KEY_COPY, TENANT_FIELD_KEY, TENANT_ID_TAG } from '../../functions/contracts/key-tags.ts';
import {
  copiedFieldKeyAlias,
  formerTenantKeyAlias,
  regionFieldKeyAlias,
} from '../../functions/contracts/names.ts';
import { acknowledgePattern } from './acknowledge-finding.ts';
import { DataKey } from './data-key.ts';

/** Every use of these keys names a tenant in its encryption context. */
const FOR_A_TENANT = { Null: { 'kms:EncryptionContext:tenantId': 'false' } };
const AT_RUN_TIME =
  'Keys of Enterprise tenants are made at run time and have generated ids; the right is bound to their aliases, or to their tag.';
/** Keys of tenants, so that rights can name them before they have an alias. */
const KEY_TAG = { [TENANT_FIELD_KEY.TagKey]: TENANT_FIELD_KEY.TagValue };
/** Copies of keys, of tenants and of regions. */
const COPY_TAG = { [FIELD_KEY_COPY.TagKey]: FIELD_KEY_COPY.TagValue };
const ALIASES = formerTenantKeyAlias('*');

/**
 * The KMS keys of encrypted fields in one region: the region's, for tenants without a key of their own, and those of
 * Enterprise tenants, which are made at run time under the alias `alias/strata-tenant-<tenantId>-fields`. They encrypt
 * nothing else, so that whoever may read a database, its backups or its secrets cannot read the fields.
 *
 * A region whose backups are copied to a second AWS region has the keys copied there, too. Its own key is a further one
 * then, because a key of one region never becomes a multi-Region key; the first one decrypts what it has encrypted.
 */
export class FieldKeys extends Construct {
  /** The region's keys, the one to encrypt with first. */
  readonly #keyArns: readonly [string, ...string[]];
  /** AWS region of the copies. */
  readonly #copiedTo: string | undefined;

  constructor(scope: Construct, id: string, regionKey: string, copiedTo: string | undefined) {
    super(scope, id);
    this.#copiedTo = copiedTo;
    const description = `Strata ${regionKey}: encrypted fields of tenants`;
    const key = new DataKey(this, 'Key', { description });
    key.addAlias(regionFieldKeyAlias(regionKey));
    this.#keyArns = [key.keyArn];
    if (copiedTo === undefined) return;
    const copied = new DataKey(this, 'Copied', { description, multiRegion: true });
    copied.addAlias(copiedFieldKeyAlias(regionKey));
    this.#keyArns = [copied.keyArn, key.keyArn];
  }

  /** Environment of functions that encrypt or decrypt fields. */
  get environment(): { readonly FIELD_KEY_ARN: string } {
    return { FIELD_KEY_ARN: this.#keyArns[0] };
  }

  /** Environment of the function that copies keys. */
  get copyEnvironment(): { readonly KEY_COPIES_REGION?: string } {
    return this.#copiedTo === undefined ? {} : { KEY_COPIES_REGION: this.#copiedTo };
  }

  /**
   * May encrypt and decrypt the fields of any tenant of the region, and decrypt with copies that are here: of the keys of
   * a region that is lost, and has been deployed here again.
   */
  grantUse(grantee: IGrantable): void {
    const actions = ['kms:GenerateDataKey', 'kms:Decrypt'];
    Grant.addToPrincipal({ grantee, actions, resourceArns: [...this.#keyArns], conditions: FOR_A_TENANT });
    grantTenantKeys(grantee, Stack.of(this), undefined, actions);
    Grant.addToPrincipal({
      grantee,
      actions: ['kms:Decrypt'],
      resourceArns: [anyKey(Stack.of(this), undefined)],
      conditions: { ...FOR_A_TENANT, StringEquals: resourceTags(COPY_TAG) },
    });
  }

  /** May copy the region's key and those of tenants to the second region, where there is one. */
  grantCopy(grantee: IGrantable): void {
    const awsRegion = this.#copiedTo;
    if (awsRegion === undefined) return;
    const stack = Stack.of(this);
    const grant = (actions: string[], resourceArns: string[], conditions: Conditions) =>
      Grant.addToPrincipal({ grantee, actions, resourceArns, conditions });
    const there = { 'kms:ReplicaRegion': awsRegion };
    grant(['kms:ReplicateKey'], [this.#keyArns[0]], { StringEquals: there });
    grant(['kms:ReplicateKey'], [anyKey(stack, undefined)], {
      StringEquals: { ...there, ...resourceTags(KEY_TAG) },
    });
    const keys = anyKey(stack, awsRegion);
    for (const pattern of ['*', keys]) acknowledgePattern(grantee, pattern, AT_RUN_TIME);
    grant(['kms:CreateKey'], ['*'], { StringEquals: { 'aws:RequestedRegion': awsRegion } });
    grant(['kms:TagResource'], [keys], {
      StringEquals: requestTags(COPY_TAG),
      Null: { 'aws:ResourceTag/strata:component': 'true' },
    });
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
      'ForAnyValue:StringLike': { 'kms:ResourceAliases': [ALIASES, ...aliases] },
    },
  });
}

/**
 * May make keys of tenants in an AWS region: symmetric ones with the tag, which get aliases of tenants only. It may not
 * change a key's policy, disable or delete one.
 */
export function grantProvideTenantKeys(grantee: IGrantable, stack: Stack, awsRegion?: string): void {
  const keys = anyKey(stack, awsRegion);
  const aliases = anyKmsArn(stack, awsRegion, ALIASES);
  for (const pattern of ['*', keys, aliases]) acknowledgePattern(grantee, pattern, AT_RUN_TIME);
  const grant = (actions: string[], resourceArns: string[], conditions?: Conditions) =>
    Grant.addToPrincipal({ grantee, actions, resourceArns, ...(conditions ? { conditions } : {}) });
  const requested = requestTags(KEY_TAG);
  grant(['kms:CreateKey'], ['*'], {
    StringEquals: {
      ...requested,
      'kms:KeySpec': 'SYMMETRIC_DEFAULT',
      'kms:KeyUsage': 'ENCRYPT_DECRYPT',
      'aws:RequestedRegion': awsRegion ?? stack.region,
    },
    Bool: { 'kms:BypassPolicyLockoutSafetyCheck': 'false', 'kms:MultiRegion': 'true' },
  });
  // The first multi-Region key of an account makes the role by which KMS keeps its regions alike.
  const role = `role/aws-service-role/${KEY_SERVICE}/AWSServiceRoleForKeyManagementServiceMultiRegionKeys`;
  grant(['iam:CreateServiceLinkedRole'], [stack.formatArn({ service: 'iam', region: '', resource: role })], {
    StringEquals: { 'iam:AWSServiceName': KEY_SERVICE },
  });
  // Not on a key that has the tag already, with whatever value: the region's own keys have it.
  grant(['kms:TagResource'], [keys], {
    StringEquals: requested,
    Null: { 'aws:ResourceTag/strata:component': 'true' },
  });
  grant(['kms:CreateAlias'], [aliases]);
  grant(['kms:CreateAlias', 'kms:EnableKeyRotation'], [keys], { StringEquals: resourceTags(KEY_TAG) });
  grant(['kms:DescribeKey'], [keys], {
    'ForAnyValue:StringLike': { 'kms:ResourceAliases': ALIASES },
  });
}

/**
 * May schedule the deletion of tenants' keys and of their copies, and delete their aliases: for offboarded tenants. The
 * region's keys have another tag, and their copies no tenant. Copies may be in any region: in one that was the second
 * region once.
 */
export function grantDeleteTenantKeys(grantee: IGrantable, stack: Stack): void {
  const keys = anyKey(stack, undefined);
  const aliases = anyKmsArn(stack, undefined, ALIASES);
  for (const pattern of [keys, aliases]) acknowledgePattern(grantee, pattern, AT_RUN_TIME);
  Grant.addToPrincipal({ grantee, actions: ['kms:DeleteAlias'], resourceArns: [aliases] });
  Grant.addToPrincipal({
    grantee,
    actions: ['kms:DeleteAlias', 'kms:DescribeKey', 'kms:ScheduleKeyDeletion'],
    resourceArns: [keys],
    conditions: { StringEquals: resourceTags(KEY_TAG) },
  });
  const copies = anyKey(stack, '*');
  acknowledgePattern(grantee, copies, AT_RUN_TIME);
  Grant.addToPrincipal({
    grantee,
    actions: ['kms:DescribeKey', 'kms:ScheduleKeyDeletion'],
    resourceArns: [copies],
    conditions: {
      StringEquals: resourceTags(COPY_TAG),
      Null: { [`aws:ResourceTag/${TENANT_ID_TAG}`]: 'false' },
    },
  });
}

type Conditions = Record<string, Record<string, unknown>>;
type Tags = Readonly<Record<string, string>>;

const KEY_SERVICE = 'mrk.kms.amazonaws.com';

const prefixed = (key: string, tags: Tags) =>
  Object.fromEntries(Object.entries(tags).map(([name, value]) => [`${key}/${name}`, value]));
const requestTags = (tags: Tags) => prefixed('aws:RequestTag', tags);
const resourceTags = (tags: Tags) => prefixed('aws:ResourceTag', tags);

const anyKey = (stack: Stack, awsRegion: string | undefined): string => anyKmsArn(stack, awsRegion, 'key/*');

/** @param awsRegion the stack's own when undefined. @param name such as `key/*`. */
const anyKmsArn = (stack: Stack, awsRegion: string | undefined, name: string): string =>
  stack.formatArn({
    service: 'kms',
    ...(awsRegion === undefined ? {} : { region: awsRegion }),
    resource: name,
  });
