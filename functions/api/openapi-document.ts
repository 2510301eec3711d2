import { openApiDocument } from '../http/openapi/document.ts';
import type { OpenApiDocument } from '../http/openapi/document-objects.ts';
import { assessments } from './assessments/descriptions.ts';
import { audit } from './audit/descriptions.ts';
import { people } from './people/descriptions.ts';
import { publicRoutes } from './public/descriptions.ts';
import { skills } from './skills/descriptions.ts';
import { tenants } from './tenants/descriptions.ts';
import { users } from './users/descriptions.ts';

/** Of the API's contract: a part grows when it grows in that way, as in semantic versions. */
const API_VERSION = '1.0.0';

/** The document of all routes, of tenants, operators and those without a token. */
export function apiDocument(): OpenApiDocument {
  return openApiDocument(API_VERSION, [people, skills, assessments, audit, users, tenants, publicRoutes]);
}
