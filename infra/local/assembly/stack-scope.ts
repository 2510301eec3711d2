import { DeployError } from '../errors.ts';
import type { DeployedStack, LocalResource } from '../model.ts';
import type { IntrinsicScope } from './intrinsics.ts';

/** Values of a template's dynamic references. @throws when there is no such value */
export interface DynamicValues {
  secretString(secretId: string, region: string): string;
  /** Values of SSM. Absent: there are none. */
  parameter?(name: string, region: string): string;
}

/** What intrinsic functions see while a stack is being created. */
export function stackScope(
  stack: DeployedStack,
  account: string,
  exports: Map<string, string>,
  values: DynamicValues,
): IntrinsicScope {
  const pseudoParameters: Record<string, unknown> = {
    'AWS::AccountId': account,
    'AWS::NotificationARNs': [],
    'AWS::Partition': 'aws',
    'AWS::Region': stack.region,
    'AWS::StackId': stack.arn,
    'AWS::StackName': stack.name,
    'AWS::URLSuffix': 'amazonaws.com',
  };
  const resourceOf = (logicalId: string): LocalResource => {
    const resource = stack.resources.get(logicalId);
    if (!resource) throw new DeployError(`refers to ${logicalId}, which does not exist`);
    return resource;
  };
  return {
    template: stack.template,
    region: stack.region,
    ref(name) {
      if (name in pseudoParameters) return pseudoParameters[name];
      if (!(name in stack.parameters)) return resourceOf(name).ref;
      const value = stack.parameters[name]!;
      const isList = /^List<|^CommaDelimitedList$/.test(stack.template.Parameters?.[name]?.Type ?? '');
      return isList ? (value === '' ? [] : value.split(',').map((item) => item.trim())) : value;
    },
    getAtt(logicalId, attribute) {
      const { attributes, type } = resourceOf(logicalId);
      if (!(attribute in attributes)) {
        throw new DeployError(`refers to ${logicalId}.${attribute}, which ${type} does not have locally`);
      }
      return attributes[attribute];
    },
    importValue(name) {
      const value = exports.get(`${stack.region} ${name}`);
      if (value === undefined) throw new DeployError(`imports ${name}, which no stack exports`);
      return value;
    },
    dynamicReference(service, reference) {
      if (service === 'ssm' && values.parameter) return values.parameter(reference, stack.region);
      if (service !== 'secretsmanager')
        throw new DeployError(`dynamic references to ${service} are not supported locally`);
      const [secretId, rest = ''] = reference.split(/:SecretString(?::|$)/);
      const key = rest.split(':')[0];
      const secret = values.secretString(secretId!, stack.region);
      if (!key) return secret;
      const value = (JSON.parse(secret) as Record<string, unknown>)[key];
      if (value === undefined) throw new DeployError(`secret ${secretId} has no key ${key}`);
      return String(value);
    },
  };
}
