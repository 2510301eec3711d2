import type { Input } from './input.ts';

export interface Tag {
  Key: string;
  Value: string;
}

/** The tags that a request, or a resource of a template, brings along. */
export function tagsOf(input: Input): Tag[] {
  return input.inputs('Tags').map((tag) => ({ Key: tag.required('Key'), Value: tag.text('Value') ?? '' }));
}

/** Condition keys for the tags of a resource that exists. */
export function resourceTags(tags: readonly Tag[]): Record<string, string> {
  return Object.fromEntries(tags.map(({ Key, Value }) => [`aws:ResourceTag/${Key}`, Value]));
}

/** Condition keys for tags sent along. */
export function requestTags(tags: readonly Tag[]): Record<string, string | string[]> {
  return {
    'aws:TagKeys': tags.map(({ Key }) => Key),
    ...Object.fromEntries(tags.map(({ Key, Value }) => [`aws:RequestTag/${Key}`, Value])),
  };
}
