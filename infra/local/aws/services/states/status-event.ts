import { randomUUID } from 'node:crypto';
import { LOCAL_ACCOUNT } from '../../../model.ts';
import type { BusEvent } from '../events/event-rule.ts';
import type { Execution } from './execution-store.ts';

/** Limit of input and output together in an event, in bytes; larger ones are left out, as in AWS. */
const INCLUDED_LIMIT = 248 * 1024;

/** 'Step Functions Execution Status Change' for the status an execution has now. */
export function statusEvent(execution: Execution): BusEvent {
  const { arn, stateMachineArn, name, status, startDate, stopDate, input, output, error, cause } = execution;
  const included = Buffer.byteLength(input) + Buffer.byteLength(output ?? '') <= INCLUDED_LIMIT;
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': 'Step Functions Execution Status Change',
    source: 'aws.states',
    account: LOCAL_ACCOUNT,
    time: new Date(stopDate ?? startDate).toISOString().replace(/\.\d{3}Z$/, 'Z'),
    region: arn.split(':')[3] ?? '',
    resources: [arn],
    detail: {
      executionArn: arn,
      stateMachineArn,
      name,
      status,
      startDate,
      stopDate: stopDate ?? null,
      input: included ? input : null,
      inputDetails: { included },
      output: included ? (output ?? null) : null,
      outputDetails: output === undefined ? null : { included },
      error: error ?? null,
      cause: cause ?? null,
      redriveCount: 0,
      redriveDate: null,
      redriveStatus: 'NOT_REDRIVABLE',
    },
  };
}
