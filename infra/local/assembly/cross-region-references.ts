import { DeployError } from '../errors.ts';
import type { ResourceFactory } from '../model.ts';

/**
 * References from a stack of one region to a stack of another (`crossRegionReferences` of CDK): the producer's custom
 * resource writes SSM parameters into the consumer's region, and the consumer's custom resource reads them. Every start
 * writes them again before they are read, because the consumer depends on the producer.
 */
export class CrossRegionReferences {
  /** By region and name. */
  readonly #parameters = new Map<string, string>();

  /** Value of `{{resolve:ssm:<name>}}` in that region. @throws {DeployError} when no stack has written it */
  parameter(name: string, region: string): string {
    const value = this.#parameters.get(`${region} ${name}`);
    if (value === undefined) throw new DeployError(`there is no parameter ${name} in ${region}`);
    return value;
  }

  factories(): ResourceFactory[] {
    return [
      {
        type: 'Custom::CrossRegionExportWriter',
        create: async ({ properties, defaultName }) => {
          const { region, exports } = properties.WriterProps as {
            region: string;
            exports: Record<string, unknown>;
          };
          for (const [name, value] of Object.entries(exports)) {
            this.#parameters.set(`${region} ${name}`, String(value));
          }
          return { ref: defaultName, attributes: {} };
        },
      },
      {
        type: 'Custom::CrossRegionExportReader',
        // The values in its properties are dynamic references, which are resolved already.
        create: async ({ properties, defaultName }) => ({
          ref: defaultName,
          attributes: (properties.ReaderProps as { imports: Record<string, unknown> }).imports,
        }),
      },
    ];
  }
}
