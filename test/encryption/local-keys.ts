import { CreateKeyCommand, DisableKeyCommand, EnableKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { type LocalSecrets, startLocalSecrets } from '../move/local-secrets.ts';

/** KMS of the local AWS endpoint with a key of the region, which functions find in their environment. */
export interface LocalKeys {
  readonly regionKeyArn: string;
  /** The endpoint also has Secrets Manager. */
  readonly secrets: LocalSecrets;
  newKey(): Promise<string>;
  /** From now on KMS refuses to use it; `enable` ends that. */
  disable(keyArn: string): Promise<void>;
  enable(keyArn: string): Promise<void>;
  stop(): Promise<void>;
}

/** @param running the endpoint of a test that has started one already. */
export async function startLocalKeys(running?: LocalSecrets): Promise<LocalKeys> {
  const secrets = running ?? (await startLocalSecrets());
  const client = new KMSClient({});
  const newKey = async () => (await client.send(new CreateKeyCommand({}))).KeyMetadata?.Arn as string;
  const regionKeyArn = await newKey();
  process.env.FIELD_KEY_ARN = regionKeyArn;
  return {
    regionKeyArn,
    secrets,
    newKey,
    async disable(KeyId) {
      await client.send(new DisableKeyCommand({ KeyId }));
    },
    async enable(KeyId) {
      await client.send(new EnableKeyCommand({ KeyId }));
    },
    async stop() {
      client.destroy();
      if (!running) await secrets.stop();
    },
  };
}
