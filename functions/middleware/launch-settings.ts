import * as z from 'zod';

const environment = z
  .object({
    DEDICATED_TEMPLATE_URL: z.string().min(1),
    DEDICATED_PARAMETERS: z
      .string()
      .transform((json) => JSON.parse(json) as unknown)
      .pipe(z.record(z.string(), z.coerce.string())),
    CLOUDFORMATION_ROLE_ARN: z.string().min(1),
  })
  .transform((variables) => ({
    templateUrl: variables.DEDICATED_TEMPLATE_URL,
    parameters: variables.DEDICATED_PARAMETERS,
    roleArn: variables.CLOUDFORMATION_ROLE_ARN,
  }));

/** How this region launches dedicated databases. @throws {z.ZodError} the function's environment is incomplete. */
export const launchSettings = () => environment.parse(process.env);
