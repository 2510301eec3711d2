import type { Duration } from 'aws-cdk-lib';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import {
  DefinitionBody,
  type IChainable,
  LogLevel,
  QueryLanguage,
  StateMachine,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';

export interface WorkflowStateMachineProps {
  /** Physical name: `STATE_MACHINES` of functions/contracts/names.ts. */
  readonly name: string;
  readonly definition: IChainable;
  /** Ends the execution without any of its Catch states. */
  readonly timeout: Duration;
  /** The caller decides retention and removal. */
  readonly logGroup: ILogGroup;
}

/** A state machine with the settings that all workflows share. */
export class WorkflowStateMachine extends StateMachine {
  constructor(
    scope: Construct,
    id: string,
    { name, definition, timeout, logGroup }: WorkflowStateMachineProps,
  ) {
    super(scope, id, {
      stateMachineName: name,
      definitionBody: DefinitionBody.fromChainable(definition),
      // The local platform runs JSONPath definitions only.
      queryLanguage: QueryLanguage.JSON_PATH,
      timeout,
      tracingEnabled: true,
      // Execution data names tenants, and some has people’s addresses: only the states are logged.
      logs: { destination: logGroup, level: LogLevel.ALL, includeExecutionData: false },
    });
  }
}
