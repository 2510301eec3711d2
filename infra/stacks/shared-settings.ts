import type { StrataConfig } from '../config.ts';
import type { FunctionBundle } from '../constructs/function-bundle.ts';

/** What every stack of one synth shares. */
export interface SharedSettings {
  readonly config: StrataConfig;
  readonly bundle: FunctionBundle;
}
