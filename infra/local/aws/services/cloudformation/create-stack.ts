import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { reasonOf } from '../../../errors.ts';
import { LOCAL_ACCOUNT, type PlatformContext, type Template } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { Call } from '../../service.ts';
import { tagsOf } from '../../tags.ts';
import type { StackRecord } from './stack-record.ts';
import type { StackStore } from './stack-store.ts';

/** Checks a CreateStack request as CloudFormation does before its answer, and turns it into a record. */
export function newStackRecord(
  input: Input,
  call: Call,
  context: PlatformContext,
  store: StackStore,
): StackRecord {
  const name = input.required('StackName');
  if (!/^[a-zA-Z][-a-zA-Z0-9]{0,127}$/.test(name)) {
    throw invalid(
      `1 validation error detected: Value '${name}' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*`,
    );
  }
  const text = templateText(input, context);
  const template = parseTemplate(text);
  const parameters = parameterValues(input, template);
  requireCapabilities(template, input.texts('Capabilities'));
  return {
    id: `arn:aws:cloudformation:${call.region}:${LOCAL_ACCOUNT}:stack/${name}/${randomUUID()}`,
    name,
    region: call.region,
    templateDocument: store.keepTemplate(text),
    description: template.Description,
    parameters,
    hidden: Object.entries(template.Parameters ?? {})
      .filter(([, definition]) => definition.NoEcho)
      .map(([parameter]) => parameter),
    tags: tagsOf(input),
    capabilities: input.texts('Capabilities'),
    roleArn: input.text('RoleARN'),
    creatorRoleArn: call.principal.kind === 'role' ? call.principal.roleArn : undefined,
    clientRequestToken: input.text('ClientRequestToken'),
    onFailure: onFailure(input),
    retainExceptOnCreate: input.boolean('RetainExceptOnCreate') ?? false,
    terminationProtection: input.boolean('EnableTerminationProtection') ?? false,
    status: 'CREATE_IN_PROGRESS',
    statusReason: 'User Initiated',
    creationTime: Date.now(),
    outputs: {},
    resources: [],
    events: [],
    retainResources: [],
  };
}

/** Bucket and key of a template URL, in either style. */
export function templateLocation(url: string): { bucket: string; key: string } | undefined {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return undefined;
  }
  const path = decodeURIComponent(parsed.pathname.slice(1));
  const virtual = /^(.+)\.s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com$/.exec(parsed.hostname)?.[1];
  if (virtual) return { bucket: virtual, key: path };
  const slash = path.indexOf('/');
  return slash > 0 ? { bucket: path.slice(0, slash), key: path.slice(slash + 1) } : undefined;
}

function templateText(input: Input, context: PlatformContext): string {
  const body = input.text('TemplateBody');
  const url = input.text('TemplateURL');
  if ((body === undefined) === (url === undefined)) {
    throw invalid('Either Template URL or Template Body must be specified.');
  }
  if (body !== undefined) {
    if (Buffer.byteLength(body) > 51_200) {
      throw invalid(
        "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200",
      );
    }
    return body;
  }
  try {
    return readFileSync(context.assets.path({ url: url! }), 'utf8');
  } catch (cause) {
    throw invalid(`S3 error: The specified key does not exist. (${reasonOf(cause)})`);
  }
}

function parseTemplate(text: string): Template {
  let template: Template | undefined;
  try {
    template = JSON.parse(text) as Template;
  } catch {
    throw invalid('Template format error: JSON not well-formed.');
  }
  if (typeof template?.Resources !== 'object') {
    throw invalid('Template format error: At least one Resources member must be defined.');
  }
  return template;
}

function parameterValues(input: Input, template: Template): Record<string, string> {
  const given = Object.fromEntries(
    input.inputs('Parameters').map((one) => [one.required('ParameterKey'), one.text('ParameterValue') ?? '']),
  );
  const defined = template.Parameters ?? {};
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(defined, name));
  if (unknown.length > 0) throw invalid(`Parameters: [${unknown.join(', ')}] do not exist in the template`);
  const missing = Object.keys(defined).filter(
    (name) => given[name] === undefined && defined[name]!.Default === undefined,
  );
  if (missing.length > 0) throw invalid(`Parameters: [${missing.join(', ')}] must have values`);
  for (const [name, value] of Object.entries(given)) {
    const allowed = defined[name]?.AllowedValues?.map(String);
    if (allowed && !allowed.includes(value)) {
      throw invalid(`Parameter '${name}' must be one of AllowedValues`);
    }
  }
  return given;
}

function requireCapabilities(template: Template, capabilities: string[]): void {
  const iam = Object.values(template.Resources).filter((resource) => resource.Type.startsWith('AWS::IAM::'));
  if (iam.length === 0) return;
  const isNamed = iam.some(({ Properties: properties }) =>
    ['RoleName', 'UserName', 'GroupName', 'ManagedPolicyName'].some(
      (name) => properties?.[name] !== undefined,
    ),
  );
  const accepted = isNamed ? ['CAPABILITY_NAMED_IAM'] : ['CAPABILITY_IAM', 'CAPABILITY_NAMED_IAM'];
  if (accepted.some((capability) => capabilities.includes(capability))) return;
  throw new AwsError('InsufficientCapabilitiesException', `Requires capabilities : [${accepted[0]}]`);
}

function onFailure(input: Input): StackRecord['onFailure'] {
  const asked = input.text('OnFailure');
  if (asked === 'DO_NOTHING' || asked === 'DELETE' || asked === 'ROLLBACK') return asked;
  return input.boolean('DisableRollback') ? 'DO_NOTHING' : 'ROLLBACK';
}

function invalid(message: string): AwsError {
  return new AwsError('ValidationError', message);
}
