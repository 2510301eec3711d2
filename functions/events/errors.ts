/** Some events do not fit their schema and are not published: a trigger and the contract disagree. */
export class EventsRefused extends Error {
  override name = 'EventsRefused';
  constructor(refused: number) {
    super(`${refused} event(s) do not fit their schema: see the alert events-unpublished`);
  }
}
