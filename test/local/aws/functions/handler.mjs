// Functions of the fixture's state machines; written as a deployed bundle is, in plain JavaScript.

import { appendFileSync, readFileSync } from 'node:fs';

const attempts = new Map();

export async function echo(event) {
  return event;
}

/** Fails with the named error until it was called often enough with this key. */
export async function fail(event) {
  const before = attempts.get(event.key) ?? 0;
  attempts.set(event.key, before + 1);
  if (before >= (event.times ?? Number.POSITIVE_INFINITY)) return { attempts: before + 1 };
  const error = new Error(event.message ?? 'failed on purpose');
  error.name = event.error ?? 'Error';
  throw error;
}

/** Appends what it was given, one JSON line each time, and fails as {@link fail} does when asked to. */
export async function record(event) {
  appendFileSync(process.env.RECORD_FILE, `${JSON.stringify(event)}\n`);
  if (event.error) return fail(event);
  if (event.hangMs) await slow({ ms: event.hangMs });
  return {};
}

/** Answers only after a while. */
export async function slow(event) {
  await new Promise((resolve) => setTimeout(resolve, event.ms ?? 60_000));
  return {};
}

/** Writes these lines to its log. */
export async function print({ lines }) {
  for (const line of lines) console.log(line);
  return {};
}

/** Tells where it runs and as which function, in its log too. */
export async function where(_event, context) {
  console.log(process.env.AWS_REGION);
  return { region: process.env.AWS_REGION, arn: context.invokedFunctionArn };
}

/** The entry of a JSON file that the request's path names; 404 where it has none. */
export async function tenant(event) {
  const found = JSON.parse(readFileSync(process.env.TENANTS_FILE, 'utf8'))[event.pathParameters.tenantId];
  return { statusCode: found ? 200 : 404, body: JSON.stringify(found ?? {}) };
}

/** A custom resource whose attribute tells what it was asked for. */
export async function customResource({ RequestType, ResponseURL }) {
  const response = { Status: 'SUCCESS', PhysicalResourceId: 'thing', Data: { Request: RequestType } };
  await fetch(ResponseURL, { method: 'PUT', body: JSON.stringify(response) });
}

/** Asks for a secret of a region, and opens a connection to a port of this machine; tells how each went. */
export async function reach({ region, port }) {
  const { DescribeSecretCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager');
  const client = new SecretsManagerClient({ region, maxAttempts: 1 });
  const found = await client.send(new DescribeSecretCommand({ SecretId: 'one' })).then(
    ({ Name }) => Name,
    ({ name, code }) => code ?? name,
  );
  const { connect } = await import('node:net');
  const connected = await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve('connected'));
    socket.on('error', ({ code, message }) => resolve(`${code} ${message}`));
    socket.on('close', () => resolve('closed'));
  });
  return { found, connected };
}

/** A trigger "pre token generation": tells in claims what Cognito has told it, and refuses some people. */
export async function claims(event) {
  const { userAttributes, groupConfiguration, scopes } = event.request;
  if (userAttributes.email.startsWith('refused')) throw new Error('not you');
  event.response = {
    claimsAndScopeOverrideDetails: {
      accessTokenGeneration: {
        claimsToAddOrOverride: {
          told: JSON.stringify({
            version: event.version,
            source: event.triggerSource,
            client: event.callerContext.clientId,
            pool: event.userPoolId,
            user: event.userName,
            scopes,
            groups: groupConfiguration.groupsToOverride,
            ...userAttributes,
          }),
        },
        scopesToAdd: ['api/extra'],
        scopesToSuppress: ['email'],
      },
    },
  };
  return event;
}
