import * as z from 'zod/mini';
import {
  day,
  decimal,
  document,
  email,
  optionalText,
  printableText,
  requiredText,
  uuid,
} from '../../http/input-schemas.ts';
import { resourceRoutes } from '../../http/resource-routes.ts';
import { employees } from '../../tenant-data/employees.ts';

const status = z.enum(['active', 'inactive', 'on_leave', 'terminated'], 'is not a status of an employee');

/** At most twelve digits before the point: as a number it is exact. */
const MAX_SALARY = 999_999_999_999.99;

const optional = {
  jobTitle: optionalText(255),
  department: optionalText(255),
  managerId: z.nullish(uuid),
  hireDate: z.nullish(day),
  status: z.optional(status),
  profileData: z.nullish(document),
  ssn: z.nullish(printableText(64)),
  salary: z.nullish(decimal(MAX_SALARY)),
};
const required = { email, firstName: requiredText(100), lastName: requiredText(100) };

export const employeeRoutes = resourceRoutes({
  store: employees,
  filters: { status, department: requiredText(255), managerId: uuid, email },
  create: { ...required, ...optional },
  update: {
    email: z.optional(required.email),
    firstName: z.optional(required.firstName),
    lastName: z.optional(required.lastName),
    ...optional,
  },
});
