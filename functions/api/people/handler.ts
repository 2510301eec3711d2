/** Placeholder until this context is built. */
export async function handler(): Promise<never> {
  throw new Error('api/people is not built yet');
}
