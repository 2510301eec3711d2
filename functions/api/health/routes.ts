/** The one route that needs no token. */
export const routes = { 'GET /health': 'health.read' } as const;
