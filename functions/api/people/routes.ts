import { resource } from '../../contracts/routes.ts';

/** Routes of the people context. */
export const routes = {
  ...resource('/employees', 'employeeId', 'employees'),
  ...resource('/teams', 'teamId', 'teams'),
  ...resource('/teams/{teamId}/members', 'employeeId', 'teamMembers'),
};
