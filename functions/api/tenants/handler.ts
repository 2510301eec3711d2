/** Placeholder until this context is built. */
export async function handler(): Promise<never> {
  throw new Error('api/tenants is not built yet');
}
