import { LOCAL_ACCOUNT, type PlatformContext } from '../../../model.ts';
import { AwsError } from '../../errors.ts';
import type { Input } from '../../input.ts';
import type { AwsService, Call, Operation, Permission, ServiceModule } from '../../service.ts';
import { requestTags, tagsOf } from '../../tags.ts';
import { newStackRecord, templateLocation } from './create-stack.ts';
import type { RunTimeStacks } from './run-time-stacks.ts';
import { type StackView, viewOfDeployed, viewOfRecord } from './stack-descriptions.ts';
import type { StackStore } from './stack-store.ts';

/**
 * AWS CloudFormation: creates and deletes stacks at run time, and describes all of them. Updates, change sets and
 * nested stacks are not supported.
 */
export function cloudFormation(
  context: PlatformContext,
  store: StackStore,
  stacks: RunTimeStacks,
): ServiceModule {
  return {
    service: wire(context, store, stacks),
    resources: [],
    resume: () => stacks.resume(),
    stop: () => stacks.stop(),
  };
}

function wire(context: PlatformContext, store: StackStore, stacks: RunTimeStacks): AwsService {
  const startedAt = new Date();
  const views = (call: Call): StackView[] => {
    const created = store.all().map((record) => viewOfRecord(record, () => store.templateText(record)));
    const ids = new Set(created.map((view) => view.id));
    const assembly = [...context.stacks.values()].filter((stack) => !ids.has(stack.arn));
    return [...created, ...assembly.map((stack) => viewOfDeployed(stack, startedAt))].filter(
      (view) => view.region === call.region,
    );
  };
  const find = (nameOrId: string, call: Call): StackView | undefined =>
    views(call).find((view) =>
      nameOrId.startsWith('arn:')
        ? view.id === nameOrId
        : view.name === nameOrId && view.status !== 'DELETE_COMPLETE',
    );
  const get = (nameOrId: string, call: Call): StackView => {
    const view = find(nameOrId, call);
    if (!view) throw new AwsError('ValidationError', `Stack with id ${nameOrId} does not exist`);
    return view;
  };
  const on = (action: string, nameOrId: string | undefined, call: Call): Permission[] => {
    const view = nameOrId === undefined ? undefined : find(nameOrId, call);
    const named = nameOrId?.startsWith('arn:') ? nameOrId : stackArn(nameOrId ?? '*', call);
    return [{ action: `cloudformation:${action}`, resource: view?.id ?? named }];
  };
  const onStack = (action: string, run: (view: StackView, input: Input) => unknown): Operation => ({
    permissions: (input, call) => on(action, input.required('StackName'), call),
    run: (input, call) => run(get(input.required('StackName'), call), input),
  });

  return {
    signingNames: ['cloudformation'],
    prefix: 'cloudformation',
    protocol: { kind: 'query', namespace: 'http://cloudformation.amazonaws.com/doc/2010-05-15/' },
    accessDenied: { code: 'AccessDenied', status: 403 },
    operations: {
      CreateStack: {
        permissions: createPermissions,
        run(input, call) {
          const existing = find(input.required('StackName'), call);
          if (existing) {
            const token = input.text('ClientRequestToken');
            if (token !== undefined && existing.record?.clientRequestToken === token) {
              return { StackId: existing.id };
            }
            throw new AwsError('AlreadyExistsException', `Stack [${existing.name}] already exists`);
          }
          const record = newStackRecord(input, call, context, store);
          stacks.create(record);
          return { StackId: record.id };
        },
      },
      DeleteStack: {
        permissions: (input, call) => on('DeleteStack', input.required('StackName'), call),
        run(input, call) {
          const view = find(input.required('StackName'), call);
          // Deleting a missing stack succeeds.
          if (!view || view.status === 'DELETE_COMPLETE' || view.status === 'DELETE_IN_PROGRESS') return {};
          if (!view.record || view.record.terminationProtection) {
            throw new AwsError(
              'ValidationError',
              `Stack [${view.name}] cannot be deleted while TerminationProtection is enabled`,
            );
          }
          view.record.retainResources = input.texts('RetainResources');
          stacks.delete(view.record);
          return {};
        },
      },
      DescribeStacks: {
        permissions: (input, call) => on('DescribeStacks', input.text('StackName'), call),
        run(input, call) {
          const name = input.text('StackName');
          const shown =
            name === undefined
              ? views(call).filter((view) => view.status !== 'DELETE_COMPLETE')
              : [get(name, call)];
          return page(
            input,
            'Stacks',
            shown.map((view) => view.description),
          );
        },
      },
      DescribeStackEvents: onStack('DescribeStackEvents', (view, input) =>
        page(input, 'StackEvents', view.events),
      ),
      DescribeStackResources: onStack('DescribeStackResources', (view, input) => {
        const logicalId = input.text('LogicalResourceId');
        const found = view.resources.filter(
          (resource) => logicalId === undefined || resource.LogicalResourceId === logicalId,
        );
        return { StackResources: found };
      }),
      ListStackResources: onStack('ListStackResources', (view, input) =>
        page(
          input,
          'StackResourceSummaries',
          view.resources.map(({ Timestamp, StackId: _id, StackName: _name, ...rest }) => ({
            ...rest,
            LastUpdatedTimestamp: Timestamp,
          })),
        ),
      ),
      GetTemplate: onStack('GetTemplate', (view) => ({
        TemplateBody: view.templateText(),
        StagesAvailable: ['Original', 'Processed'],
      })),
      UpdateTerminationProtection: onStack('UpdateTerminationProtection', (view, input) => {
        if (view.record) {
          view.record.terminationProtection = input.boolean('EnableTerminationProtection') ?? false;
          store.save();
        }
        return { StackId: view.id };
      }),
      ListStacks: {
        permissions: () => [{ action: 'cloudformation:ListStacks', resource: '*' }],
        run(input, call) {
          const filter = input.texts('StackStatusFilter');
          const shown = views(call).filter((view) => filter.length === 0 || filter.includes(view.status));
          return page(
            input,
            'StackSummaries',
            shown.map(({ description }) => ({
              StackId: description.StackId,
              StackName: description.StackName,
              TemplateDescription: description.Description,
              CreationTime: description.CreationTime,
              DeletionTime: description.DeletionTime,
              StackStatus: description.StackStatus,
              StackStatusReason: description.StackStatusReason,
              DriftInformation: description.DriftInformation,
            })),
          );
        },
      },
    },
  };
}

/** The stack itself, the passed service role, and the template that CloudFormation reads for the caller. */
function createPermissions(input: Input, call: Call): Permission[] {
  const roleArn = input.text('RoleARN');
  const url = input.text('TemplateURL');
  const tags = tagsOf(input);
  const context: Record<string, string | string[]> = requestTags(tags);
  if (roleArn !== undefined) context['cloudformation:RoleArn'] = roleArn;
  if (url !== undefined) context['cloudformation:TemplateUrl'] = url;
  const resource = stackArn(input.required('StackName'), call);
  const permissions: Permission[] = [{ action: 'cloudformation:CreateStack', resource, context }];
  if (tags.length > 0) {
    const creating = { ...requestTags(tags), 'cloudformation:CreateAction': 'CreateStack' };
    permissions.push({ action: 'cloudformation:TagResource', resource, context: creating });
  }
  if (roleArn !== undefined) {
    permissions.push({
      action: 'iam:PassRole',
      resource: roleArn,
      context: { 'iam:PassedToService': 'cloudformation.amazonaws.com' },
    });
  }
  const location = url === undefined ? undefined : templateLocation(url);
  if (location) {
    permissions.push({
      action: 's3:GetObject',
      resource: `arn:aws:s3:::${location.bucket}/${location.key}`,
      context: { 'aws:CalledVia': ['cloudformation.amazonaws.com'] },
    });
  }
  return permissions;
}

function stackArn(name: string, call: Call): string {
  return `arn:aws:cloudformation:${call.region}:${LOCAL_ACCOUNT}:stack/${name}/*`;
}

function page(input: Input, member: string, items: unknown[]): Record<string, unknown> {
  const start = Number(input.text('NextToken') || 0);
  if (!Number.isInteger(start)) throw new AwsError('ValidationError', 'Invalid NextToken');
  const next = start + 100;
  return { [member]: items.slice(start, next), NextToken: next < items.length ? String(next) : undefined };
}
