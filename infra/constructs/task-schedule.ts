import { Stack } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnSchedule } from 'aws-cdk-lib/aws-scheduler';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';

export interface TaskScheduleProps {
  /** Physical name, for an operator who runs or stops it. */
  readonly name?: string;
  readonly description: string;
  /** Such as `rate(15 minutes)`. */
  readonly expression: string;
  /** A function, which is awaited, or a state machine, whose execution is only started. */
  readonly task: IFunction | IStateMachine;
  /** The task's event, or the execution's input; EventBridge Scheduler fills in its context attributes. */
  readonly input?: Readonly<Record<string, string>>;
  /** On time. Otherwise a run may be delayed by up to five minutes, so that not all schedules run at once. */
  readonly punctual?: boolean;
}

/** Runs one task repeatedly. Its role may invoke that function, or start that state machine, and nothing else. */
export class TaskSchedule extends Construct {
  constructor(scope: Construct, id: string, props: TaskScheduleProps) {
    super(scope, id);
    const { task } = props;
    const [action, arn] =
      'functionArn' in task
        ? ['lambda:InvokeFunction', task.functionArn]
        : ['states:StartExecution', task.stateMachineArn];
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
      description: `Schedule: ${props.description}`,
      // In the role itself: a policy of its own would be one resource more of the stack's budget.
      inlinePolicies: {
        Start: new PolicyDocument({
          statements: [new PolicyStatement({ actions: [action], resources: [arn] })],
        }),
      },
    });
    new CfnSchedule(this, 'Schedule', {
      ...(props.name ? { name: props.name } : {}),
      description: props.description,
      scheduleExpression: props.expression,
      flexibleTimeWindow: props.punctual ? { mode: 'OFF' } : { mode: 'FLEXIBLE', maximumWindowInMinutes: 5 },
      target: {
        arn,
        roleArn: role.roleArn,
        input: JSON.stringify(props.input ?? {}),
        retryPolicy: { maximumRetryAttempts: 2, maximumEventAgeInSeconds: 600 },
      },
    });
  }
}
