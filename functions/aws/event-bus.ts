import { eventBridgeClient } from './clients.ts';

/** One event, as EventBridge takes it. */
export interface EventEntry {
  readonly source: string;
  readonly type: string;
  /** ISO 8601. */
  readonly time: string;
  /** JSON. */
  readonly detail: string;
}

/** EventBridge takes so many entries at once, and so many bytes of them together. */
export const MOST_ENTRIES = 10;
export const MOST_BYTES = 256 * 1024;

/** A bus of EventBridge. */
export class EventBus {
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /**
   * Puts up to ten events.
   * @returns for each entry, in order: undefined when the bus has taken it, otherwise the reason.
   * @throws EventBridge's own error when it took none.
   */
  async put(entries: readonly EventEntry[]): Promise<(string | undefined)[]> {
    const { PutEventsCommand } = await import('@aws-sdk/client-eventbridge');
    const client = await eventBridgeClient();
    const { Entries = [] } = await client.send(
      new PutEventsCommand({
        Entries: entries.map(({ source, type, time, detail }) => ({
          EventBusName: this.#name,
          Source: source,
          DetailType: type,
          Time: new Date(time),
          Detail: detail,
        })),
      }),
    );
    return entries.map((_, index) => {
      const { EventId, ErrorCode } = Entries[index] ?? {};
      return EventId === undefined ? (ErrorCode ?? 'NoAnswer') : undefined;
    });
  }
}
