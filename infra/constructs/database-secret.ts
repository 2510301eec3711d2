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
 * Credentials of one database role with a generated password, in the shape RDS and RDS Proxy expect.
 * A plain CfnSecret, because the L2's grantRead writes into the key's policy, which makes a cycle between stacks.
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
      // Never change these for an existing secret: CloudFormation would generate a new password behind the database's back.
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

  /** A dynamic reference that CloudFormation resolves while it deploys; the password is in no template. */
  get password(): string {
    return SecretValue.secretsManager(this.secretArn, { jsonField: 'password' }).unsafeUnwrap();
  }

  /** May read the credentials, and decrypt them, but only through Secrets Manager. */
  grantRead(grantee: IGrantable): Grant {
    return grantSecretRead(grantee, this, this.#keyArn, [this.secretArn]);
  }
}

/**
 * The ARN of a secret that a template names, for what cannot, or need not, refer to it: Secrets Manager adds a hyphen and
 * six characters to the name.
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

/** Reading of secrets by their ARNs or ARN patterns. */
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
