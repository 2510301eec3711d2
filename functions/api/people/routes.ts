/** Routes of the people context, as API Gateway route keys. */
export const routes = [
  'GET /employees',
  'POST /employees',
  'GET /employees/{employeeId}',
  'PATCH /employees/{employeeId}',
  'DELETE /employees/{employeeId}',
  'GET /teams',
  'POST /teams',
  'GET /teams/{teamId}',
  'PATCH /teams/{teamId}',
  'DELETE /teams/{teamId}',
  'GET /teams/{teamId}/members',
  'POST /teams/{teamId}/members',
  'GET /teams/{teamId}/members/{employeeId}',
  'PATCH /teams/{teamId}/members/{employeeId}',
  'DELETE /teams/{teamId}/members/{employeeId}',
] as const;
