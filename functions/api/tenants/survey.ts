import type { LambdaClient } from '@aws-sdk/client-lambda';
import { surveyFunctionName } from '../../contracts/names.ts';
import type { OperatorRegion } from '../../http/operator-api.ts';
import { TenantNotMeasured } from '../../moves/errors.ts';
import type { SurveyOf } from '../../moves/move-rules.ts';
import type { TenantSurvey } from '../../moves/survey-tenant.ts';

const clients = new Map<string, Promise<LambdaClient>>();

function clientOf(awsRegion: string | undefined): Promise<LambdaClient> {
  let client = clients.get(awsRegion ?? '');
  if (!client) {
    // API Gateway waits for 30 seconds: no second try.
    client = import('@aws-sdk/client-lambda').then(
      ({ LambdaClient }) =>
        new LambdaClient({
          ...(awsRegion ? { region: awsRegion } : {}),
          requestHandler: { connectionTimeout: 3_000, requestTimeout: 25_000, throwOnRequestTimeout: true },
          maxAttempts: 1,
        }),
    );
    clients.set(awsRegion ?? '', client);
  }
  return client;
}

/**
 * Asks the function that reaches the databases of a region how much data a tenant there has.
 * @returns a function of the tenant's id, which throws `TenantNotMeasured` when the other one failed or took too long.
 */
export function surveyByFunction({ key, awsRegion }: OperatorRegion): SurveyOf {
  return async (tenantId) => {
    const { InvokeCommand } = await import('@aws-sdk/client-lambda');
    const client = await clientOf(awsRegion);
    const { FunctionError, Payload } = await client
      .send(
        new InvokeCommand({
          FunctionName: awsRegion ? surveyFunctionName(key) : process.env.MOVE_SURVEY_FUNCTION,
          Payload: JSON.stringify({ tenantId }),
        }),
      )
      .catch((cause) => {
        throw new TenantNotMeasured({ cause });
      });
    const answer = Buffer.from(Payload ?? []).toString('utf8');
    if (FunctionError) throw new TenantNotMeasured({ cause: new Error(answer) });
    return JSON.parse(answer) as TenantSurvey;
  };
}
