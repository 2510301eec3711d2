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
