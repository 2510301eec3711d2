import { LOCAL_ACCOUNT } from '../../../model.ts';
import type { AwsService, ServiceModule } from '../../service.ts';

const service: AwsService = {
  signingNames: ['sts'],
  prefix: 'sts',
  protocol: { kind: 'query', namespace: 'https://sts.amazonaws.com/doc/2011-06-15/' },
  accessDenied: { code: 'AccessDenied', status: 403 },
  operations: {
    GetCallerIdentity: {
      // Needs no permission, even against an explicit deny.
      permissions: () => [],
      run: (_input, call) => ({
        UserId: call.principal.userId,
        Account: LOCAL_ACCOUNT,
        Arn: call.principal.arn,
      }),
    },
  },
};

/** AWS STS: returns the caller's identity. */
export const sts: ServiceModule = { service, resources: [] };
