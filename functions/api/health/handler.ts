import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';

/** `GET /health`: the API is deployed and its functions run. It touches no database: a probe must not page for one tenant. */
export async function handler(): Promise<APIGatewayProxyStructuredResultV2> {
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify({ status: 'ok' }),
  };
}
