/** Routes of the skills context, as API Gateway route keys. */
export const routes = [
  'GET /skills',
  'POST /skills',
  'GET /skills/{skillId}',
  'PATCH /skills/{skillId}',
  'DELETE /skills/{skillId}',
  'GET /employees/{employeeId}/skills',
  'POST /employees/{employeeId}/skills',
  'GET /employees/{employeeId}/skills/{skillId}',
  'PATCH /employees/{employeeId}/skills/{skillId}',
  'DELETE /employees/{employeeId}/skills/{skillId}',
] as const;
