import {
  DefaultStackSynthesizer,
  type IStackSynthesizer,
  type Stack,
  type StackProps,
  Tags,
} from 'aws-cdk-lib';
import type { RegionConfig, StrataConfig } from '../config.ts';
import type { FunctionBundle } from '../constructs/function-bundle.ts';

/** A stack of one region, in whatever account it is deployed to, protected against deletion as a whole. */
export function stackProps(region: RegionConfig, description: string, config: StrataConfig): StackProps {
  return {
    description,
    env: { region: region.awsRegion },
    terminationProtection: config.deletionProtection,
    // The deploying CDK command checks the bootstrap stack's version; a rule in every template would check it twice.
    synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }) as IStackSynthesizer,
  };
}

/** Tags that tell costs and owners apart. */
export function tagStack(stack: Stack, component: string, region: RegionConfig, config: StrataConfig): void {
  const tags = { ...config.tags, 'strata:component': component, 'strata:region': region.key };
  for (const [key, value] of Object.entries(tags)) Tags.of(stack).add(key, value);
}

/** What every stack of one synth shares. */
export interface SharedSettings {
  readonly config: StrataConfig;
  readonly bundle: FunctionBundle;
}
