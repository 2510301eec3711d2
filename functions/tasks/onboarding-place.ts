/** Placeholder until this task is built: deploying it fails loudly instead of pretending. */
export async function handler(): Promise<never> {
  throw new Error('tasks/onboarding-place is not built yet');
}
