import type { Stack } from '@aws-sdk/client-cloudformation';
import * as z from 'zod';
import { DedicatedStackFailed } from './errors.ts';

const outputs = z.object({
  ClusterArn: z.string().min(1),
  WriterHost: z.string().min(1),
  ReaderHost: z.string().optional(),
  ProxyHost: z.string().min(1),
  Port: z.coerce.number().int().positive(),
  TenantSecretArn: z.string().min(1),
  OwnerSecretArn: z.string().min(1),
});

/** What a place is made of, as DedicatedDatabaseStack tells it. */
export interface DedicatedOutputs {
  readonly clusterArn: string;
  readonly writerHost: string;
  readonly readerHost: string | null;
  readonly proxyHost: string;
  readonly port: number;
  /** Of the tenant's login role. */
  readonly secretArn: string;
  /** Of the owner of its schemas. */
  readonly ownerSecretArn: string;
}

/** Reads the outputs of a finished stack. @throws {DedicatedStackFailed} it lacks one. */
export function dedicatedOutputs(stack: Stack): DedicatedOutputs {
  const parsed = outputs.safeParse(
    Object.fromEntries((stack.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue])),
  );
  if (!parsed.success) throw new DedicatedStackFailed({ cause: parsed.error });
  const { ClusterArn, WriterHost, ReaderHost, ProxyHost, Port, TenantSecretArn, OwnerSecretArn } =
    parsed.data;
  return {
    ...{ clusterArn: ClusterArn, writerHost: WriterHost, readerHost: ReaderHost ?? null },
    ...{ proxyHost: ProxyHost, port: Port, secretArn: TenantSecretArn, ownerSecretArn: OwnerSecretArn },
  };
}
