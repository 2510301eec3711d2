import { rdsClient, serviceQuotasClient } from '../aws/clients.ts';
import { RegionQuotaExhausted } from './errors.ts';

/** Proxies per region; RDS has no call that returns this figure. */
const PROXIES_QUOTA = { ServiceCode: 'rds', QuotaCode: 'L-D94C7EA3' };

interface Figures {
  readonly what: string;
  readonly used: number;
  readonly most: number;
  readonly needed: number;
}

/**
 * Checks that an AWS region has room for one more dedicated database: a cluster, its instances and a proxy. Without
 * room a creation fails only after a quarter of an hour.
 * @param awsRegion the function's own when absent.
 * @throws {RegionQuotaExhausted} names what is short; and the errors of RDS and Service Quotas.
 */
export async function requireRoomForDatabase(
  instances: number,
  awsRegion: string | undefined,
): Promise<void> {
  const [ofDatabases, ofProxies] = await Promise.all([databases(instances, awsRegion), proxies(awsRegion)]);
  const short = [...ofDatabases, ofProxies].filter(({ used, most, needed }) => used + needed > most);
  if (short.length > 0)
    throw new RegionQuotaExhausted(short.map((each) => sentence(each, awsRegion)).join(' '));
}

/** Usage as RDS counts it for the quota, including instances of other engines. */
async function databases(instances: number, awsRegion: string | undefined): Promise<Figures[]> {
  const { DescribeAccountAttributesCommand } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  const { AccountQuotas = [] } = await client.send(new DescribeAccountAttributesCommand({}));
  const kinds = [
    { quota: 'DBInstances', what: 'DB instances', needed: instances },
    { quota: 'DBClusters', what: 'DB clusters', needed: 1 },
  ];
  return kinds.flatMap(({ quota, what, needed }) => {
    const { Used, Max } = AccountQuotas.find(({ AccountQuotaName }) => AccountQuotaName === quota) ?? {};
    return Used === undefined || Max === undefined ? [] : [{ what, needed, used: Used, most: Max }];
  });
}

async function proxies(awsRegion: string | undefined): Promise<Figures> {
  const { paginateDescribeDBProxies } = await import('@aws-sdk/client-rds');
  const client = await rdsClient(awsRegion);
  let used = 0;
  for await (const { DBProxies = [] } of paginateDescribeDBProxies({ client }, {})) used += DBProxies.length;
  return { what: 'DB proxies', used, most: await mostProxies(awsRegion), needed: 1 };
}

async function mostProxies(awsRegion: string | undefined): Promise<number> {
  const { GetAWSDefaultServiceQuotaCommand, GetServiceQuotaCommand, NoSuchResourceException } = await import(
    '@aws-sdk/client-service-quotas'
  );
  const client = await serviceQuotasClient(awsRegion);
  try {
    const { Quota } = await client.send(new GetServiceQuotaCommand(PROXIES_QUOTA));
    if (Quota?.Value !== undefined) return Quota.Value;
  } catch (error) {
    // A quota that was never changed may have no applied value.
    if (!(error instanceof NoSuchResourceException)) throw error;
  }
  const { Quota } = await client.send(new GetAWSDefaultServiceQuotaCommand(PROXIES_QUOTA));
  return Quota?.Value ?? Number.POSITIVE_INFINITY;
}

function sentence({ what, used, most, needed }: Figures, awsRegion = process.env.AWS_REGION): string {
  const need = used >= most ? '' : `, and a dedicated database needs ${needed}`;
  return `The region ${awsRegion} has ${used} of ${most} ${what}${need}.`;
}
