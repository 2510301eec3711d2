import type { LocalResource, PlatformContext, ResourceFactory } from '../../../model.ts';
import { ResourceFailure } from '../../errors.ts';
import type { Authorizer } from '../../iam/authorizer.ts';
import type { Permission } from '../../service.ts';
import { HANDLER_PERMISSIONS } from './handler-permissions.ts';
import type { RunTimeStacks } from './run-time-stacks.ts';

/**
 * Allows CloudFormation to make and delete a resource only if its service role has the permissions that AWS's own
 * resource handler needs. The assembly's stacks are deployed by an administrator, so nothing is checked for them.
 */
export function permitted(
  factory: ResourceFactory,
  stacks: Pick<RunTimeStacks, 'actor' | 'resourcesOf'>,
  authorizer: Authorizer,
): ResourceFactory {
  const { type } = factory;

  /** @throws {ResourceFailure} */
  function require(stackArn: string, needed: () => Permission[]): void {
    const principal = stacks.actor(stackArn);
    if (!principal) return;
    const region = stackArn.split(':')[3] ?? '';
    const refusal = HANDLER_PERMISSIONS[type]
      ? authorizer.refusesCall(principal, needed(), region)
      : `The permissions for ${type} are not known here: add them to infra/local/aws/services/cloudformation/handler-permissions.ts`;
    if (refusal === undefined) return;
    throw new ResourceFailure(
      `Resource handler returned message: "${refusal}" (HandlerErrorCode: AccessDenied)`,
    );
  }

  return {
    ...factory,
    async create(request, context) {
      require(request.stack.arn, () => HANDLER_PERMISSIONS[type]!.create(request));
      return factory.create(request, context);
    },
    async remove(resource: LocalResource, context: PlatformContext) {
      const { stack } = resource;
      require(stack, () => HANDLER_PERMISSIONS[type]!.remove(resource, stacks.resourcesOf(stack)));
      await factory.remove?.(resource, context);
    },
  };
}
