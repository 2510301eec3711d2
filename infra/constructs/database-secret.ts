import { ArnFormat, CfnDeletionPolicy, SecretValue, Stack } from 'aws-cdk-lib';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { CfnSecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { acknowledgeFinding } from './acknowledge-finding.ts';

export interface DatabaseSecretProps {
  /** Physical name, such as `strata/us-1/starter`. */
  readonly name: string;
  readonly description: string;
  readonly username: string;
  readonly databaseName: string;
  /** Key that encrypts it. */
  readonly keyArn: string;
}

/**
 * Credentials of one database role with a generated password, in the form that RDS and RDS Proxy expect. A plain
 * CfnSecret, because the L2's grantRead writes into the key's policy, which creates a cycle between stacks.
 */
export class DatabaseSecret extends Construct {
  readonly secretArn: string;
  readonly username: string;
  readonly #keyArn: string;

  constructor(scope: Construct, id: string, props: DatabaseSecretProps) {
    super(scope, id);
    const secret = new CfnSecret(this, 'Resource', {
      name: props.name,
      description: props.description,
      kmsKeyId: props.keyArn,
      // Never change these for an existing secret: CloudFormation would generate a new password without changing the
      // database's.
      generateSecretString: {
        secretStringTemplate: Stack.of(this).toJsonString({
          username: props.username,
          engine: 'postgres',
          dbname: props.databaseName,
        }),
        generateStringKey: 'password',
        passwordLength: 40,
        excludePunctuation: true,
      },
    });
    secret.cfnOptions.deletionPolicy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE;
    secret.cfnOptions.updateReplacePolicy = CfnDeletionPolicy.RETAIN;
    this.secretArn = secret.ref;
    this.username = props.username;
    this.#keyArn = props.keyArn;
    acknowledgeFinding(
      this,
      'SMG4',
      'Rotation has to be coordinated with tenant moves and with the proxy, so a Strata workflow does it, not a Secrets Manager schedule.',
    );
  }

  /** A dynamic reference that CloudFormation resolves during a deployment; no template contains the password. */
  get password(): string {
    return SecretValue.secretsManager(this.secretArn, { jsonField: 'password' }).unsafeUnwrap();
  }

  /** May give the secret other passwords, and read them. */
  grantRenew(grantee: IGrantable): void {
    grantSecretRenewal(grantee, this, this.#keyArn, [this.secretArn]);
  }

  /** May read the credentials, and decrypt them, but only through Secrets Manager. */
  grantRead(grantee: IGrantable): Grant {
    return grantSecretRead(grantee, this, this.#keyArn, [this.secretArn]);
  }
}

/**
 * The ARN pattern of a secret that a template names but cannot, or need not, refer to: Secrets Manager adds a hyphen
 * and six characters to the name.
 * @param region of AWS, the stack's own by default
 */
export function secretArnNamed(stack: Stack, name: string, region = stack.region): string {
  return stack.formatArn({
    service: 'secretsmanager',
    region,
    resource: 'secret',
    resourceName: `${name}-??????`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

/** Rights to read secrets by their ARNs or ARN patterns. */
export function grantSecretRead(
  grantee: IGrantable,
  scope: Construct,
  keyArn: string,
  secretArns: string[],
): Grant {
  const { region } = Stack.of(scope);
  return Grant.addToPrincipal({
    grantee,
    actions: ['secretsmanager:GetSecretValue'],
    resourceArns: secretArns,
  }).combine(
    Grant.addToPrincipal({
      grantee,
      actions: ['kms:Decrypt'],
      resourceArns: [keyArn],
      conditions: { StringEquals: { 'kms:ViaService': `secretsmanager.${region}.amazonaws.com` } },
    }),
  );
}

/** Rights to look secrets up, to add versions to them, and to choose the current one. */
export function grantSecretRenewal(
  grantee: IGrantable,
  scope: Construct,
  keyArn: string,
  secretArns: string[],
): void {
  grantSecretRead(grantee, scope, keyArn, secretArns);
  grantSecretWrite(
    grantee,
    scope,
    keyArn,
    ['DescribeSecret', 'PutSecretValue', 'UpdateSecretVersionStage'],
    secretArns,
  );
}

/** Rights to create secrets by their ARNs or ARN patterns, to look them up, and to restore them from pending deletion. */
export function grantSecretCreation(
  grantee: IGrantable,
  scope: Construct,
  keyArn: string,
  secretArns: string[],
): void {
  grantSecretWrite(
    grantee,
    scope,
    keyArn,
    ['CreateSecret', 'TagResource', 'DescribeSecret', 'RestoreSecret'],
    secretArns,
  );
}

function grantSecretWrite(
  grantee: IGrantable,
  scope: Construct,
  keyArn: string,
  actions: string[],
  resourceArns: string[],
): void {
  Grant.addToPrincipal({
    grantee,
    actions: actions.map((action) => `secretsmanager:${action}`),
    resourceArns,
  });
  Grant.addToPrincipal({
    grantee,
    actions: ['kms:GenerateDataKey'],
    resourceArns: [keyArn],
    conditions: {
      StringEquals: { 'kms:ViaService': `secretsmanager.${Stack.of(scope).region}.amazonaws.com` },
    },
  });
}
