import type { Input } from './input.ts';

export interface Tag {
  Key: string;
  Value: string;
}

/** The tags of a request, or of a resource in a template. */
export function tagsOf(input: Input): Tag[] {
  return input.inputs('Tags').map((tag) => ({ Key: tag.required('Key'), Value: tag.text('Value') ?? '' }));
}

/** Condition keys for the tags of a resource that exists. */
export function resourceTags(tags: readonly Tag[]): Record<string, string> {
  return Object.fromEntries(tags.map(({ Key, Value }) => [`aws:ResourceTag/${Key}`, Value]));
}

/** Condition keys for the tags of a request. */
export function requestTags(tags: readonly Tag[]): Record<string, string | string[]> {
  return {
    'aws:TagKeys': tags.map(({ Key }) => Key),
    ...Object.fromEntries(tags.map(({ Key, Value }) => [`aws:RequestTag/${Key}`, Value])),
  };
}
