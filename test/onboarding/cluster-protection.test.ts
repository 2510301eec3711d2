import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DescribeDBClustersCommand, RDSClient } from '@aws-sdk/client-rds';
import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clusterProtection } from '../../functions/tasks/cluster-protection.ts';
import { bodyOf } from './aws-relay.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

let plane: ControlPlane;
const answers: { Status: string }[] = [];
const cloudFormation = createServer(async (request, response) => {
  answers.push(JSON.parse(await bodyOf(request)));
  response.end();
});

beforeAll(async () => {
  plane = await startControlPlane();
  await new Promise<void>((listening) => cloudFormation.listen(0, '127.0.0.1', listening));
});
afterAll(async () => {
  cloudFormation.close();
  await plane?.stop();
});

/** As CloudFormation asks, which delivers every value as text. @returns the status of the answer. */
async function protect(RequestType: 'Create' | 'Delete', clusters: string[], isOn = 'true') {
  const { port } = cloudFormation.address() as AddressInfo;
  const event = {
    RequestType,
    ResponseURL: `http://127.0.0.1:${port}/`,
    RequestId: 'r',
    StackId: 's',
    ResourceType: 'Custom::StrataClusterProtection',
    LogicalResourceId: 'Protection',
    PhysicalResourceId: 'cluster-protection',
    ResourceProperties: {
      ServiceToken: 't',
      ClusterIdentifiers: clusters,
      DeletionProtection: isOn,
      Release: '1',
    },
  } as unknown as CloudFormationCustomResourceEvent;
  const context = { getRemainingTimeInMillis: () => 60_000, logStreamName: 'log' } as Context;
  await clusterProtection(event, context);
  return answers.at(-1)?.Status;
}

async function isProtected(): Promise<boolean | undefined> {
  const { DBClusters } = await new RDSClient({}).send(
    new DescribeDBClustersCommand({ DBClusterIdentifier: 'registry' }),
  );
  return DBClusters![0]!.DeletionProtection;
}

test('a stack’s clusters are protected, or none is where one fails, so that its rollback can delete them', async () => {
  expect(await protect('Create', ['registry', 'missing'])).toBe('FAILED');
  expect(await isProtected()).toBe(false);
  expect(await protect('Create', ['registry'])).toBe('SUCCESS');
  expect(await isProtected()).toBe(true);
  // What was protected before stays so: also when the stack is deleted, which retains its clusters.
  expect(await protect('Create', ['registry', 'missing'])).toBe('FAILED');
  expect(await protect('Delete', ['registry'])).toBe('SUCCESS');
  expect(await isProtected()).toBe(true);
  // A throw-away installation says so in its configuration.
  expect(await protect('Create', ['registry'], 'false')).toBe('SUCCESS');
  expect(await isProtected()).toBe(false);
});
