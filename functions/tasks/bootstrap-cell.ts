/** Placeholder until this task is built: deploying it fails loudly instead of pretending. */
export async function handler(): Promise<never> {
  throw new Error('tasks/bootstrap-cell is not built yet');
}
