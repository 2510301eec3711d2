import { randomUUID } from 'node:crypto';
import { LOCAL_ACCOUNT } from '../../../model.ts';
import type { BusEvent } from '../events/event-rule.ts';

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
