/**
 * `node test/bench/request-line.ts > /dev/null`: what the line of the request log costs a request, in CPU time, beside a line of
 * the logger with three fields. Prints to stderr: the lines themselves go to stdout.
 */
import { logger } from '../../functions/aws/logger.ts';
import { logPlainRequest } from '../../functions/http/request-log.ts';

const ROUNDS = 5;
const LINES = 20_000;

const event = {
  routeKey: 'GET /employees',
  requestContext: { requestId: '7f0c2b4e-0000-4000-8000-000000000000' },
  body: '{}',
  isBase64Encoded: false,
};
const answer = { statusCode: 200, body: '{}' };

function cpuOf(write: () => void): number {
  const begin = process.cpuUsage();
  for (let n = 0; n < LINES; n++) write();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / LINES;
}

const requestLine = () => logPlainRequest(event, answer, performance.now());
const loggerLine = () => logger.info('request', { requestId: 'x', route: 'GET /employees', status: 200 });
cpuOf(requestLine);
cpuOf(loggerLine);
const [own, plain] = [requestLine, loggerLine].map((write) =>
  Math.min(...Array.from({ length: ROUNDS }, () => cpuOf(write))),
);
console.error(`request line ${own?.toFixed(1)} µs, line of the logger ${plain?.toFixed(1)} µs of CPU`);
