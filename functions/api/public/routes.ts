/** Routes that need no token. */
export const routes = {
  'GET /health': 'health.read',
  'GET /openapi.json': 'docs.document',
  'GET /docs': 'docs.page',
  'GET /docs/{file}': 'docs.file',
} as const;
