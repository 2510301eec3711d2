import { DeployError } from '../errors.ts';
import type { ResourceFactory } from '../model.ts';

/**
 * What CDK hands from a stack of one region to a stack of another (`crossRegionReferences`): the producer's custom
 * resource writes parameters of SSM into the consumer's region, where the consumer's reads them. Every start writes them
 * again before they are read, since the consumer depends on the producer.
 */
export class CrossRegionReferences {
  /** By region and name. */
  readonly #parameters = new Map<string, string>();

  /** For `{{resolve:ssm:<name>}}` in that region. @throws {DeployError} when nothing has written it */
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
        // The values in its properties are dynamic references, resolved by now.
        create: async ({ properties, defaultName }) => ({
          ref: defaultName,
          attributes: (properties.ReaderProps as { imports: Record<string, unknown> }).imports,
        }),
      },
    ];
  }
}
