import { randomUUID } from 'node:crypto';
import type { PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { AwsService, ServiceModule } from '../../service.ts';

/** AWS SNS: messages are accepted and their subjects logged; nobody is subscribed here. */
export function sns(context: PlatformContext): ServiceModule {
  return { service: wire(context), resources: [] };
}

function wire(context: PlatformContext): AwsService {
  return {
    signingNames: ['sns'],
    prefix: 'sns',
    protocol: { kind: 'query', namespace: 'http://sns.amazonaws.com/doc/2010-03-31/' },
    accessDenied: { code: 'AuthorizationError', status: 403 },
    operations: {
      Publish: {
        permissions: (input) => [
          { action: 'sns:Publish', resource: input.text('TopicArn') ?? input.required('TargetArn') },
        ],
        run(input, call) {
          const arn = input.text('TopicArn') ?? input.required('TargetArn');
          if (arn.split(':')[3] !== call.region) {
            throw new AwsError('InvalidParameter', 'Invalid parameter: TopicArn');
          }
          const known = [...context.stacks.values()].some((stack) =>
            [...stack.resources.values()].some((one) => one.type === 'AWS::SNS::Topic' && one.ref === arn),
          );
          if (!known) throw new AwsError('NotFound', 'Topic does not exist', { status: 404 });
          context.log(`SNS ${arn.split(':').at(-1)}: ${input.text('Subject') ?? '(no subject)'}`);
          return { MessageId: randomUUID() };
        },
      },
    },
  };
}
