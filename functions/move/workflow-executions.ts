/** PLACEHOLDER of the module that starts executions; the real one replaces this file. */
export async function startExecution(_stateMachineArn: string, _name: string, _input: object): Promise<void> {
  throw new Error('executions cannot be started yet');
}
