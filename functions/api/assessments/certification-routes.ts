import * as z from 'zod/mini';
import { day, optionalText, requiredText, uuid } from '../../http/input-schemas.ts';
import { resourceRoutes } from '../../http/resource-routes.ts';
import { certifications } from '../../tenant-data/certifications.ts';

const certificationName = requiredText(255);
const verificationStatus = z.enum(['unverified', 'pending', 'verified', 'rejected']);
/** Only addresses that a page may link to. */
const webAddress = requiredText(2_000).check(
  z.refine((text) => /^https?:\/\/[^\s]+$/i.test(text) && URL.canParse(text), {
    error: 'must be an address that begins with http:// or https://',
    params: { format: 'uri' },
  }),
);
const optional = {
  issuingOrganization: optionalText(255),
  issueDate: z.nullish(day),
  expiryDate: z.nullish(day),
  credentialId: optionalText(255),
  credentialUrl: z.nullish(webAddress),
  verificationStatus: z.nullish(verificationStatus),
};

export const certificationRoutes = resourceRoutes({
  store: certifications,
  filters: { employeeId: uuid, verificationStatus },
  below: { expiringBefore: { column: 'expiry_date', schema: day } },
  create: { employeeId: uuid, certificationName, ...optional },
  update: { certificationName: z.optional(certificationName), ...optional },
  write: 'admin',
});
