import type { LambdaClient } from '@aws-sdk/client-lambda';
import type { TenantSurvey } from '../../move/survey-tenant.ts';

let client: Promise<LambdaClient> | undefined;

/** Asks the function that reaches the databases how much data a tenant has. @throws when it failed or took too long. */
export async function surveyByFunction(tenantId: string): Promise<TenantSurvey> {
  const { InvokeCommand, LambdaClient } = await import('@aws-sdk/client-lambda');
  // API Gateway waits for 30 seconds: no second try.
  client ??= Promise.resolve(
    new LambdaClient({
      requestHandler: { connectionTimeout: 3_000, requestTimeout: 25_000, throwOnRequestTimeout: true },
      maxAttempts: 1,
    }),
  );
  const { FunctionError, Payload } = await (await client).send(
    new InvokeCommand({
      FunctionName: process.env.MOVE_SURVEY_FUNCTION,
      Payload: JSON.stringify({ tenantId }),
    }),
  );
  const answer = Buffer.from(Payload ?? []).toString('utf8');
  if (FunctionError) throw new Error('the survey failed', { cause: answer });
  return JSON.parse(answer) as TenantSurvey;
}
