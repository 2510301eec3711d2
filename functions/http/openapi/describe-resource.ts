import type * as z from 'zod/mini';
import { componentNames, pageOf } from './component.ts';
import type { OperationDescription, RefusalStatus } from './describe-context.ts';

type Verb = 'list' | 'create' | 'read' | 'update' | 'remove';

export interface ResourceText<Tag extends string> {
  readonly tag: Tag;
  /** With its article, such as `an employee`, and all of them, such as `employees`. */
  readonly one: string;
  readonly many: string;
  /** A component: `itemSchema('Employee', employees)`. */
  readonly item: z.core.$ZodType;
  /** CommonMark by operation, where there is more to say than the summary. */
  readonly descriptions?: Readonly<Partial<Record<Verb, string>>>;
  /** Refusals by operation, besides those that each resource has. */
  readonly refusals?: Readonly<Partial<Record<Verb, Readonly<Partial<Record<RefusalStatus, string>>>>>>;
}

/** The descriptions of the five operations of a resource: spread them into those of its context. */
export function describeResource<const Name extends string, Tag extends string>(
  name: Name,
  { tag, one, many, item, descriptions = {}, refusals = {} }: ResourceText<Tag>,
): Record<`${Name}.${Verb}`, OperationDescription<Tag>> {
  const page = pageOf(componentNames.get(item)?.id ?? name, item);
  const noun = one.replace(/^an? /, '');
  const operation = (
    verb: Verb,
    summary: string,
    answers: OperationDescription['answers'],
    known: OperationDescription['refusals'] = {},
  ): OperationDescription<Tag> => {
    const description = descriptions[verb];
    return {
      tag,
      summary,
      answers,
      refusals: { ...known, ...refusals[verb] },
      ...(description === undefined ? {} : { description }),
    };
  };
  return {
    [`${name}.list`]: operation('list', `List ${many}`, { 200: page }),
    [`${name}.create`]: operation(
      'create',
      `Create ${one}`,
      { 201: item },
      { 409: `Such ${one} exists already, or the tenant’s storage limit is reached.` },
    ),
    [`${name}.read`]: operation('read', `Read ${one}`, { 200: item }),
    [`${name}.update`]: operation(
      'update',
      `Change ${one}`,
      { 200: item },
      { 409: `Another ${noun} has a value that must be unique.` },
    ),
    [`${name}.remove`]: operation(
      'remove',
      `Delete ${one}`,
      { 204: null },
      { 409: `Other resources still refer to the ${noun}.` },
    ),
  } as Record<`${Name}.${Verb}`, OperationDescription<Tag>>;
}
