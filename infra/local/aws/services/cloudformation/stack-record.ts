import type { ResourceStatus } from '../../../model.ts';

export type StackStatus =
  | 'CREATE_IN_PROGRESS'
  | 'CREATE_COMPLETE'
  | 'CREATE_FAILED'
  | 'ROLLBACK_IN_PROGRESS'
  | 'ROLLBACK_COMPLETE'
  | 'ROLLBACK_FAILED'
  | 'DELETE_IN_PROGRESS'
  | 'DELETE_COMPLETE'
  | 'DELETE_FAILED';

export interface StackEvent {
  id: string;
  logicalId: string;
  physicalId: string;
  type: string;
  status: ResourceStatus | StackStatus;
  reason?: string | undefined;
  /** Epoch milliseconds. */
  timestamp: number;
}

/** Properties of a resource that decide which rights its removal needs. None of them is a secret. */
export const REMOVAL_PROPERTIES = ['Tags', 'DBClusterIdentifier', 'DBClusterIdentifiers', 'DBProxyName'];

/** What is recorded of a finished resource: enough to remove it, and no secret. */
export interface ResourceRecord {
  logicalId: string;
  type: string;
  ref: string;
  attributes: Record<string, unknown>;
  /** Its `REMOVAL_PROPERTIES`; records of earlier versions have none. */
  properties?: Record<string, unknown>;
}

/** A run-time stack as it is stored. */
export interface StackRecord {
  id: string;
  name: string;
  region: string;
  /** Document that holds the template. */
  templateDocument: string;
  description?: string | undefined;
  parameters: Record<string, string>;
  /** Parameters whose values are hidden. */
  hidden: string[];
  tags: { Key: string; Value: string }[];
  capabilities: string[];
  roleArn?: string | undefined;
  /** The creator, when no service role was given. */
  creatorRoleArn?: string | undefined;
  clientRequestToken?: string | undefined;
  onFailure: 'ROLLBACK' | 'DELETE' | 'DO_NOTHING';
  retainExceptOnCreate: boolean;
  terminationProtection: boolean;
  status: StackStatus;
  statusReason?: string | undefined;
  creationTime: number;
  deletionTime?: number | undefined;
  outputs: Record<string, string>;
  resources: ResourceRecord[];
  /** Oldest first. */
  events: StackEvent[];
  /** Resources that a deletion keeps besides those that the template retains. */
  retainResources: string[];
}
