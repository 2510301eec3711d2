import type { SNSClient } from '@aws-sdk/client-sns';
import type { PublishNotice } from './notify-offers.ts';

/** SNS takes no longer subject. */
const MAX_SUBJECT = 100;

let client: Promise<SNSClient> | undefined;

/** Notices go to the topic, to whoever subscribes to it. */
export function publishTo(topicArn: string): PublishNotice {
  return async ({ subject, message }) => {
    const { PublishCommand, SNSClient } = await import('@aws-sdk/client-sns');
    client ??= Promise.resolve(
      new SNSClient({
        requestHandler: { connectionTimeout: 3_000, requestTimeout: 10_000, throwOnRequestTimeout: true },
      }),
    );
    await (await client).send(
      new PublishCommand({ TopicArn: topicArn, Subject: subject.slice(0, MAX_SUBJECT), Message: message }),
    );
  };
}
