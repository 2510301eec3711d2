import { resource } from '../../contracts/routes.ts';

/** Routes of the assessments context. */
export const routes = {
  ...resource('/assessments', 'assessmentId', 'assessments'),
  ...resource('/assessments/{assessmentId}/results', 'resultId', 'results'),
  ...resource('/certifications', 'certificationId', 'certifications'),
};
