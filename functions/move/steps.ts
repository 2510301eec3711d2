import type { Step } from './hop.ts';

const placeholder: Step = async () => {
  throw new Error('placeholder');
};
export const prepare = placeholder;
export const copy = placeholder;
export const index = placeholder;
export const catchUp = placeholder;
export const cutOver = placeholder;
export const compare = placeholder;
