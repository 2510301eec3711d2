/** Operator routes of the control plane, as API Gateway route keys. */
export const routes = [
  'GET /tenants',
  'POST /tenants',
  'GET /tenants/{tenantId}',
  'PATCH /tenants/{tenantId}',
  'GET /tenants/{tenantId}/users',
  'POST /tenants/{tenantId}/users',
  'GET /tenants/{tenantId}/users/{userId}',
  'PATCH /tenants/{tenantId}/users/{userId}',
  'DELETE /tenants/{tenantId}/users/{userId}',
  'GET /tenants/{tenantId}/moves',
  'POST /tenants/{tenantId}/moves',
  'GET /tenants/{tenantId}/moves/{moveId}',
  'POST /tenants/{tenantId}/moves/{moveId}/abort',
] as const;
