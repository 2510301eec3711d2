import { resource } from '../../contracts/routes.ts';

/** Routes of the skills context. */
export const routes = {
  ...resource('/skills', 'skillId', 'skills'),
  ...resource('/employees/{employeeId}/skills', 'skillId', 'employeeSkills'),
  ...resource('/frameworks', 'frameworkId', 'frameworks'),
  'POST /frameworks/import': 'frameworks.importWhole',
  ...resource('/roles', 'roleId', 'roles'),
  'GET /employees/{employeeId}/gaps': 'gaps.read',
  'GET /analytics/skills-summary': 'analytics.skillsSummary',
} as const;
