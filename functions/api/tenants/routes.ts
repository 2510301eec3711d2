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
  'GET /tenants/{tenantId}/usage',
  'GET /tenants/{tenantId}/decisions',
  'GET /tenants/{tenantId}/offers',
  'POST /tenants/{tenantId}/offers/{offerId}/accept',
  'POST /tenants/{tenantId}/offers/{offerId}/decline',
] as const;
