import { resource } from '../../contracts/routes.ts';

/** Routes of the skills context. */
export const routes = {
  ...resource('/skills', 'skillId', 'skills'),
  ...resource('/employees/{employeeId}/skills', 'skillId', 'employeeSkills'),
  'GET /analytics/skills-summary': 'analytics.skillsSummary',
} as const;
