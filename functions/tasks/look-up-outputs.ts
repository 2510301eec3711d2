import * as z from 'zod';
import { cloudFormationClient } from '../aws/clients.ts';
import { customResourceHandler } from './custom-resource.ts';

/**
 * `Custom::StrataOutputs`: outputs of a stack in another region, which templates cannot refer to. They become
 * attributes of the resource, under the same names.
 */
export const handler = customResourceHandler({
  properties: z.object({
    AwsRegion: z.string().min(1),
    StackName: z.string().min(1),
    Outputs: z.array(z.string()).min(1),
  }),
  physicalId: ({ AwsRegion, StackName }) => `outputs-${StackName}-${AwsRegion}`,
  async apply({ AwsRegion, StackName, Outputs: wanted }) {
    const { DescribeStacksCommand } = await import('@aws-sdk/client-cloudformation');
    const client = await cloudFormationClient(AwsRegion);
    const { Stacks } = await client.send(new DescribeStacksCommand({ StackName }));
    const outputs = new Map(
      Stacks?.[0]?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]),
    );
    return Object.fromEntries(
      wanted.map((name) => {
        const value = outputs.get(name);
        if (!value) throw new OutputMissing(`${StackName} in ${AwsRegion} has no output ${name}`);
        return [name, value];
      }),
    );
  },
});

/** The other stack is from an older release, or is still being created. */
class OutputMissing extends Error {
  override name = 'OutputMissing';
}
