import { expect, test } from 'vitest';
import { att, ref } from '../aws/assembly.ts';
import { startEndpoint } from '../aws/endpoint-fixture.ts';
import { stackNamed } from '../running-fixture.ts';
import { EU, US } from './twin-stacks.ts';

/** As CDK writes it for a stack with `crossRegionReferences`. */
const NAME = '/cdk/exports/Consumer/VpcRef';
const exporter = (region: string) => ({
  Type: 'Custom::CrossRegionExportWriter',
  Properties: { ServiceToken: 'arn', WriterProps: { region, exports: { [NAME]: ref('Vpc') } } },
});
const reader = {
  Type: 'Custom::CrossRegionExportReader',
  Properties: {
    ServiceToken: 'arn',
    ReaderProps: { region: EU, prefix: 'Consumer', imports: { [NAME]: `{{resolve:ssm:${NAME}}}` } },
  },
};
const vpc = { Type: 'AWS::EC2::VPC', Properties: { CidrBlock: '10.0.0.0/16' } };
const stacks = (region: string) => [
  {
    name: 'Producer',
    region: US,
    resources: { Vpc: vpc, Writer: exporter(region) },
    outputs: { Vpc: { Value: ref('Vpc') } },
  },
  {
    name: 'Consumer',
    region: EU,
    resources: { Reader: reader },
    outputs: { Vpc: { Value: att('Reader', NAME) } },
  },
];

test('a stack reads what a stack of another region has written for it', async () => {
  const fixture = await startEndpoint(stacks(EU));
  try {
    const { Vpc } = stackNamed(fixture.platform, 'Producer').outputs;
    expect(Vpc).toMatch(/^vpc-/);
    expect(stackNamed(fixture.platform, 'Consumer', EU).outputs).toEqual({ Vpc });
  } finally {
    await fixture.stop();
  }
});

test('what was written for a third region is not there', async () => {
  await expect(startEndpoint(stacks('ap-southeast-1'))).rejects.toThrow(
    `Consumer/Reader (Custom::CrossRegionExportReader): there is no parameter ${NAME} in ${EU}`,
  );
});
