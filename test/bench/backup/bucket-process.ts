/** The local S3 in a process of its own, as S3 is. Prints its endpoint and ends with its parent. */
import { startLocalBucket } from '../../backup/local-bucket.ts';

export interface BucketAddress {
  readonly endpoint: string;
  readonly bucket: string;
}

const bucket = await startLocalBucket();
const address: BucketAddress = { endpoint: bucket.origin, bucket: bucket.name };
console.log(JSON.stringify(address));
process.stdin.resume();
process.stdin.once('end', async () => {
  await bucket.stop();
  process.exit();
});
