import { LOCAL_ACCOUNT, type StateFile } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, ServiceModule } from '../../service.ts';

interface Quota {
  readonly name: string;
  readonly default: number;
}

/** Of RDS, by their codes. */
const QUOTAS: Readonly<Record<string, Quota>> = {
  'L-7B6409FD': { name: 'DB instances', default: 40 },
  'L-952B80B8': { name: 'DB clusters', default: 40 },
  'L-D94C7EA3': { name: 'Proxies', default: 20 },
};

const DOCUMENT = 'service-quotas';

/** Quotas per region: AWS's defaults until a change was asked for. */
export class QuotaStore {
  readonly #state: StateFile;
  readonly #applied: Record<string, number>;

  constructor(state: StateFile) {
    this.#state = state;
    this.#applied = state.load<Record<string, number>>(DOCUMENT, {});
  }

  /** @returns undefined for a code that is not known */
  find(code: string, region: string): (Quota & { readonly value: number }) | undefined {
    const quota = Object.hasOwn(QUOTAS, code) ? QUOTAS[code] : undefined;
    return quota && { ...quota, value: this.#applied[`${region} ${code}`] ?? quota.default };
  }

  set(code: string, region: string, value: number): void {
    this.#applied[`${region} ${code}`] = value;
    this.#state.save(DOCUMENT, this.#applied);
  }
}

/**
 * Service Quotas, for RDS. A change that is asked for is granted at once; a decrease is too, unlike in AWS, so that a
 * test can make a region full.
 */
export function serviceQuotas(store: QuotaStore): ServiceModule {
  const describe = (input: Input, call: Call, figureOf: (quota: Quota & { value: number }) => number) => {
    const code = input.required('QuotaCode');
    const service = input.required('ServiceCode');
    const quota = service === 'rds' ? store.find(code, call.region) : undefined;
    if (!quota) {
      throw new AwsError(
        'NoSuchResourceException',
        'The request failed because the specified quota does not exist.',
      );
    }
    return {
      ServiceCode: service,
      ServiceName: 'Amazon Relational Database Service (Amazon RDS)',
      QuotaArn: `arn:aws:servicequotas:${call.region}:${LOCAL_ACCOUNT}:${service}/${code}`,
      QuotaCode: code,
      QuotaName: quota.name,
      Value: figureOf(quota),
      Unit: 'None',
      Adjustable: true,
      GlobalQuota: false,
    };
  };
  const onAny = (action: string) => () => [{ action: `servicequotas:${action}`, resource: '*' }];
  const service: AwsService = {
    signingNames: ['servicequotas'],
    prefix: 'servicequotas',
    protocol: { kind: 'json', version: '1.1' },
    accessDenied: { code: 'AccessDeniedException', status: 400 },
    operations: {
      GetServiceQuota: {
        permissions: onAny('GetServiceQuota'),
        run: (input, call) => ({ Quota: describe(input, call, ({ value }) => value) }),
      },
      GetAWSDefaultServiceQuota: {
        permissions: onAny('GetAWSDefaultServiceQuota'),
        run: (input, call) => ({ Quota: describe(input, call, (quota) => quota.default) }),
      },
      RequestServiceQuotaIncrease: {
        permissions(input, call) {
          const resource = `arn:aws:servicequotas:${call.region}:${LOCAL_ACCOUNT}:${input.required('ServiceCode')}/${input.required('QuotaCode')}`;
          return [{ action: 'servicequotas:RequestServiceQuotaIncrease', resource }];
        },
        run(input, call) {
          const { ServiceCode, QuotaCode, QuotaName, QuotaArn } = describe(input, call, ({ value }) => value);
          const desired = Number(input.members.DesiredValue);
          if (!Number.isInteger(desired) || desired < 0) {
            throw new AwsError('IllegalArgumentException', 'DesiredValue must be a whole number');
          }
          store.set(QuotaCode, call.region, desired);
          return {
            RequestedQuota: {
              Id: call.requestId.replaceAll('-', ''),
              ServiceCode,
              QuotaCode,
              QuotaName,
              QuotaArn,
              DesiredValue: desired,
              Status: 'APPROVED',
            },
          };
        },
      },
    },
  };
  return { service, resources: [] };
}
