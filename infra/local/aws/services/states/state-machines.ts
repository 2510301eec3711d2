import { readFileSync } from 'node:fs';
import {
  LOCAL_ACCOUNT,
  type PlatformContext,
  type Properties,
  type ResourceFactory,
} from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import type { Definition } from './local-definition.ts';

/** A deployed state machine. */
export interface StateMachineRecord {
  arn: string;
  name: string;
  region: string;
  roleArn: string;
  type: string;
  /** JSON text as deployed, and the same parsed. */
  definitionText: string;
  definition: Definition;
  loggingConfiguration?: unknown;
  tracingEnabled: boolean;
  creationDate: number;
}

/** The deployed state machines, by ARN. */
export type StateMachines = Map<string, StateMachineRecord>;

/** `AWS::StepFunctions::StateMachine`. */
export function stateMachineResource(machines: StateMachines): ResourceFactory {
  return {
    type: 'AWS::StepFunctions::StateMachine',
    async create({ stack, properties, defaultName }, context) {
      const name = String(properties.StateMachineName ?? defaultName);
      const arn = `arn:aws:states:${stack.region}:${LOCAL_ACCOUNT}:stateMachine:${name}`;
      const definitionText = definitionOf(properties, context);
      const definition = parse(definitionText);
      const tracing = properties.TracingConfiguration as { Enabled?: boolean } | undefined;
      machines.set(arn, {
        arn,
        name,
        region: stack.region,
        roleArn: String(properties.RoleArn),
        type: String(properties.StateMachineType ?? 'STANDARD'),
        definitionText,
        definition,
        loggingConfiguration: properties.LoggingConfiguration,
        tracingEnabled: tracing?.Enabled === true,
        creationDate: machines.get(arn)?.creationDate ?? Date.now(),
      });
      return { ref: arn, attributes: { Arn: arn, Name: name, StateMachineRevisionId: 'INITIAL' } };
    },
    async remove(resource) {
      machines.delete(resource.ref);
    },
  };
}

function definitionOf(properties: Properties, context: PlatformContext): string {
  const location = properties.DefinitionS3Location as { Bucket: string; Key: string } | undefined;
  const text =
    (properties.DefinitionString as string | undefined) ??
    (properties.Definition === undefined ? undefined : JSON.stringify(properties.Definition)) ??
    (location && readFileSync(context.assets.path({ bucket: location.Bucket, key: location.Key }), 'utf8'));
  if (text === undefined) throw new ResourceFailure('A state machine needs a definition');
  const substitutions = (properties.DefinitionSubstitutions ?? {}) as Record<string, unknown>;
  return text.replace(/\$\{(\w+)\}/g, (whole, key: string) => {
    if (!Object.hasOwn(substitutions, key)) return whole;
    // Within a JSON text, so it is escaped as JSON.
    return JSON.stringify(String(substitutions[key])).slice(1, -1);
  });
}

function parse(text: string): Definition {
  try {
    return JSON.parse(text) as Definition;
  } catch {
    throw new ResourceFailure('Invalid State Machine Definition: it is not valid JSON');
  }
}
