import { ApiError } from './api-client.ts';
import { CommandError } from './errors.ts';
import type { Settings } from './settings.ts';
import { shownText } from './shown-text.ts';

/** Explains an error to an operator in one line. */
export function explainFailure(cause: unknown, settings: Settings | undefined): string {
  if (cause instanceof CommandError) return shownText(cause.message);
  if (cause instanceof ApiError) return explainRefusal(cause);
  const { message, name, cause: inner } = cause as Error & { cause?: { code?: string } };
  const code = inner?.code ?? (cause as { code?: string }).code;
  if (name === 'TypeError' && message === 'fetch failed') {
    const start = settings?.local ? 'run npm start, or ' : '';
    return `nothing answers at ${settings?.apiUrl}${code ? ` (${code})` : ''}: ${start}set STRATA_API_URL`;
  }
  if (name === 'TimeoutError') return `${settings?.apiUrl} does not answer in time`;
  // Both addresses of localhost refused the connection.
  if (name === 'AggregateError' || code === 'ECONNREFUSED') {
    return `nothing answers at ${settings?.awsEndpoint ?? 'AWS'}: set AWS_ENDPOINT_URL`;
  }
  if (name === 'CredentialsProviderError') return 'there are no AWS credentials: set AWS_PROFILE or keys';
  return shownText(`${name}: ${message}`.split('\n', 1)[0]!);
}

/** The detail of the problem document, otherwise the status. */
function explainRefusal({ status, problem }: ApiError): string {
  if (status === 401)
    return 'the API does not accept this token: run strata login again, set STRATA_TOKEN, or STRATA_DIR and API_PORT alike';
  const { type, title, detail, message, errors } = (
    typeof problem === 'object' && problem !== null ? problem : {}
  ) as Record<string, unknown>;
  // API Gateway itself refuses a token without the route's scope, and its body is no problem document.
  if (status === 403 && type === undefined)
    return 'this command needs an operator’s token, and the one in use is a tenant’s user’s: strata whoami shows the user, strata logout or strata login changes it';
  const reasons = Array.isArray(errors)
    ? errors.map((one) => {
        const { detail: text, rule, pointer, parameter } = one as Record<string, unknown>;
        const where = pointer || parameter || rule;
        return `${where ? `${String(where)}: ` : ''}${String(text ?? JSON.stringify(one))}`;
      })
    : [];
  const text = String(detail ?? message ?? title ?? 'the API refused');
  return shownText(`${text} (HTTP ${status})${reasons.length > 0 ? `; ${reasons.join('; ')}` : ''}`);
}
