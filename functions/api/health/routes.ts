/** The one route that needs no token. */
export const routes = ['GET /health'] as const;
