import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, ServiceModule } from '../../service.ts';

/**
 * Telemetry is accepted and dropped, because functions' output is in the platform's own logs. Permissions are checked,
 * so that a missing grant is found.
 */
function accepted(
  action: string,
  resource: (input: Input, call: Call) => string,
  answer: unknown = {},
): Operation {
  return { permissions: (input, call) => [{ action, resource: resource(input, call) }], run: () => answer };
}

const anything = (): string => '*';

const services: AwsService[] = [
  {
    signingNames: ['xray'],
    prefix: 'xray',
    protocol: {
      kind: 'rest-json',
      routes: [
        { method: 'POST', path: /^\/TraceSegments$/, operation: 'PutTraceSegments' },
        { method: 'POST', path: /^\/TelemetryRecords$/, operation: 'PutTelemetryRecords' },
        { method: 'POST', path: /^\/GetSamplingRules$/, operation: 'GetSamplingRules' },
        { method: 'POST', path: /^\/SamplingTargets$/, operation: 'GetSamplingTargets' },
      ],
    },
    accessDenied: { code: 'AccessDeniedException', status: 403 },
    operations: {
      PutTraceSegments: accepted('xray:PutTraceSegments', anything, { UnprocessedTraceSegments: [] }),
      PutTelemetryRecords: accepted('xray:PutTelemetryRecords', anything),
      GetSamplingRules: accepted('xray:GetSamplingRules', anything, { SamplingRuleRecords: [] }),
      GetSamplingTargets: accepted('xray:GetSamplingTargets', anything, { SamplingTargetDocuments: [] }),
    },
  },
  {
    signingNames: ['monitoring'],
    prefix: 'cloudwatch',
    protocol: { kind: 'json', version: '1.0' },
    accessDenied: { code: 'AccessDenied', status: 403 },
    operations: { PutMetricData: accepted('cloudwatch:PutMetricData', anything) },
  },
];

/** X-Ray and CloudWatch, as far as functions call them. */
export const telemetry: ServiceModule[] = services.map((service) => ({ service, resources: [] }));
