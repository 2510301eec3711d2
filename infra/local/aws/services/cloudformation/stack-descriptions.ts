import { randomUUID } from 'node:crypto';
import type { DeployedStack } from '../../../model.ts';
import { LOCAL_ACCOUNT } from '../../../model.ts';
import type { BusEvent } from '../events/event-rule.ts';
import type { StackEvent, StackRecord } from './stack-record.ts';

/** One stack in the form of CloudFormation's answers, whether of the assembly or created at run time. */
export interface StackView {
  id: string;
  name: string;
  region: string;
  status: string;
  description: Record<string, unknown>;
  resources: Record<string, unknown>[];
  events: Record<string, unknown>[];
  templateText(): string;
  record?: StackRecord;
}

export function viewOfRecord(record: StackRecord, templateText: () => string): StackView {
  const common = {
    StackId: record.id,
    StackName: record.name,
    CreationTime: new Date(record.creationTime),
    DeletionTime: record.deletionTime === undefined ? undefined : new Date(record.deletionTime),
    StackStatus: record.status,
    StackStatusReason: record.statusReason,
  };
  return {
    id: record.id,
    name: record.name,
    region: record.region,
    status: record.status,
    record,
    templateText,
    description: {
      ...common,
      Description: record.description,
      RoleARN: record.roleArn,
      Capabilities: record.capabilities,
      DisableRollback: record.onFailure === 'DO_NOTHING',
      EnableTerminationProtection: record.terminationProtection,
      RetainExceptOnCreate: record.retainExceptOnCreate,
      Tags: record.tags,
      NotificationARNs: [],
      RollbackConfiguration: {},
      DriftInformation: { StackDriftStatus: 'NOT_CHECKED' },
      Parameters: Object.entries(record.parameters).map(([ParameterKey, value]) => ({
        ParameterKey,
        ParameterValue: record.hidden.includes(ParameterKey) ? '****' : value,
      })),
      Outputs: outputs(record.outputs),
    },
    resources: latestByResource(record).map((event) => ({
      StackId: record.id,
      StackName: record.name,
      LogicalResourceId: event.logicalId,
      PhysicalResourceId: event.physicalId,
      ResourceType: event.type,
      ResourceStatus: event.status,
      ResourceStatusReason: event.reason,
      Timestamp: new Date(event.timestamp),
      DriftInformation: { StackResourceDriftStatus: 'NOT_CHECKED' },
    })),
    events: [...record.events].reverse().map((event) => ({
      StackId: record.id,
      StackName: record.name,
      EventId: event.id,
      LogicalResourceId: event.logicalId,
      PhysicalResourceId: event.physicalId,
      ResourceType: event.type,
      Timestamp: new Date(event.timestamp),
      ResourceStatus: event.status,
      ResourceStatusReason: event.reason,
    })),
  };
}

/** A stack of the assembly: it is deployed, or is being deployed. */
export function viewOfDeployed(stack: DeployedStack, startedAt: Date): StackView {
  const { status, reason } = stack.ended ?? { status: 'CREATE_COMPLETE' };
  return {
    id: stack.arn,
    name: stack.name,
    region: stack.region,
    status,
    templateText: () => JSON.stringify(stack.template),
    description: {
      StackId: stack.arn,
      StackName: stack.name,
      Description: stack.template.Description,
      CreationTime: startedAt,
      StackStatus: status,
      StackStatusReason: reason,
      DisableRollback: false,
      EnableTerminationProtection: true,
      NotificationARNs: [],
      RollbackConfiguration: {},
      Tags: [],
      DriftInformation: { StackDriftStatus: 'NOT_CHECKED' },
      Parameters: Object.entries(stack.parameters).map(([ParameterKey, ParameterValue]) => ({
        ParameterKey,
        ParameterValue,
      })),
      Outputs: outputs(stack.outputs),
    },
    resources: [...stack.resources.values()].map((resource) => ({
      StackId: stack.arn,
      StackName: stack.name,
      LogicalResourceId: resource.logicalId,
      PhysicalResourceId: resource.ref,
      ResourceType: resource.type,
      ResourceStatus: 'CREATE_COMPLETE',
      Timestamp: startedAt,
      DriftInformation: { StackResourceDriftStatus: 'NOT_CHECKED' },
    })),
    events: (stack.events ?? []).toReversed().map((event, index) => ({
      StackId: stack.arn,
      StackName: stack.name,
      EventId: `${event.timestamp}-${index}`,
      LogicalResourceId: event.logicalId,
      PhysicalResourceId: event.physicalId,
      ResourceType: event.type,
      Timestamp: new Date(event.timestamp),
      ResourceStatus: event.status,
      ResourceStatusReason: event.reason,
    })),
  };
}

function outputs(values: Record<string, string>): Record<string, unknown>[] {
  return Object.entries(values).map(([OutputKey, OutputValue]) => ({ OutputKey, OutputValue }));
}

function latestByResource(record: StackRecord): StackEvent[] {
  const latest = new Map<string, StackEvent>();
  for (const event of record.events) {
    if (event.logicalId === record.name && event.type === 'AWS::CloudFormation::Stack') continue;
    const physicalId = event.physicalId || latest.get(event.logicalId)?.physicalId || '';
    latest.set(event.logicalId, { ...event, physicalId });
  }
  return [...latest.values()];
}

/** 'CloudFormation Stack Status Change' for the status that a stack has now. */
export function stackEvent(stack: {
  arn: string;
  region: string;
  status: string;
  reason?: string | undefined;
}): BusEvent {
  const { arn, region, status, reason = '' } = stack;
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': 'CloudFormation Stack Status Change',
    source: 'aws.cloudformation',
    account: LOCAL_ACCOUNT,
    time: new Date().toISOString().replace(/\.\d{3}Z$/, 'Z'),
    region,
    resources: [arn],
    detail: { 'stack-id': arn, 'status-details': { status, 'status-reason': reason } },
  };
}
