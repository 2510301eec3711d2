import { snsClient } from './clients.ts';

/** SNS refuses a longer subject. */
const MAX_SUBJECT = 100;

/** Sends a message to the subscribers of an SNS topic. @throws SNS's own error when it did not accept the message. */
export async function publish(topicArn: string, subject: string, message: string): Promise<void> {
  const { PublishCommand } = await import('@aws-sdk/client-sns');
  const client = await snsClient();
  await client.send(
    new PublishCommand({ TopicArn: topicArn, Subject: subject.slice(0, MAX_SUBJECT), Message: message }),
  );
}
