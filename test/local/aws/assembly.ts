/** A cloud assembly written by hand: small templates, as CDK would have synthesized them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { Template, TemplateResource } from '../../../infra/local/index.ts';

export type Resources = Record<string, TemplateResource>;

export interface FixtureStack {
  name: string;
  /** us-east-1 where it does not say; two regions may each have a stack of one name. */
  region?: string;
  resources: Resources;
  outputs?: Template['Outputs'];
}

export const TEMPLATE_URL =
  'https://s3.us-east-1.amazonaws.com/assets-000000000000-us-east-1/run-time-template.json';

const FUNCTIONS_KEY = 'functions.zip';

/** Writes the assembly; `runTimeTemplate` becomes the file asset behind {@link TEMPLATE_URL}. */
export function writeAssembly(directory: string, stacks: FixtureStack[], runTimeTemplate?: unknown): string {
  mkdirSync(directory, { recursive: true });
  const asset = (path: string, objectKey: string) => ({
    source: { path },
    destinations: { here: { bucketName: 'assets-000000000000-us-east-1', objectKey } },
  });
  const files: Record<string, unknown> = {
    functions: asset(relative(directory, resolve(import.meta.dirname, 'functions')), FUNCTIONS_KEY),
  };
  if (runTimeTemplate) {
    writeFileSync(join(directory, 'run-time-template.json'), JSON.stringify(runTimeTemplate));
    files.template = asset('run-time-template.json', 'run-time-template.json');
  }
  writeFileSync(join(directory, 'assets.json'), JSON.stringify({ files }));
  const artifacts: Record<string, unknown> = {
    assets: { type: 'cdk:asset-manifest', properties: { file: 'assets.json' } },
  };
  for (const { name, region = 'us-east-1', resources, outputs } of stacks) {
    const id = region === 'us-east-1' ? name : `${name}-${region}`;
    const templateFile = `${id}.template.json`;
    writeFileSync(
      join(directory, templateFile),
      JSON.stringify({ Resources: resources, Outputs: outputs ?? {} }),
    );
    artifacts[id] = {
      type: 'aws:cloudformation:stack',
      environment: `aws://unknown-account/${region}`,
      properties: { templateFile, stackName: name },
    };
  }
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ version: '36.0.0', artifacts }));
  return directory;
}

export const att = (logicalId: string, attribute: string) => ({ 'Fn::GetAtt': [logicalId, attribute] });
export const ref = (logicalId: string) => ({ Ref: logicalId });

export interface PolicyStatement {
  Effect?: 'Allow' | 'Deny';
  Action: string | string[];
  Resource: unknown;
  Condition?: unknown;
}

/** A role with one attached policy, as CDK's grants make them. */
export function role(logicalId: string, statements: PolicyStatement[], properties = {}): Resources {
  return {
    [logicalId]: { Type: 'AWS::IAM::Role', Properties: { RoleName: logicalId, ...properties } },
    [`${logicalId}Policy`]: {
      Type: 'AWS::IAM::Policy',
      Properties: {
        PolicyName: `${logicalId}Policy`,
        Roles: [ref(logicalId)],
        PolicyDocument: {
          Version: '2012-10-17',
          Statement: statements.map((statement) => ({ Effect: 'Allow', ...statement })),
        },
      },
    },
  };
}

/** A function of `functions/handler.mjs`. */
export function lambdaFunction(
  name: string,
  handler: string,
  roleId: string,
  variables: Record<string, string> = {},
): Resources {
  return {
    [name]: {
      Type: 'AWS::Lambda::Function',
      Properties: {
        FunctionName: name,
        Handler: `handler.${handler}`,
        Role: att(roleId, 'Arn'),
        Runtime: 'nodejs24.x',
        Timeout: 5,
        Environment: { Variables: variables },
        Code: { S3Bucket: 'assets-000000000000-us-east-1', S3Key: FUNCTIONS_KEY },
      },
    },
  };
}
