import { createHash, randomUUID } from 'node:crypto';
import type { StateFile, Template } from '../../../model.ts';
import type { StackEvent, StackRecord, StackStatus } from './stack-record.ts';

const DOCUMENT = 'stacks';
/** Deleted stacks stay visible by their id, as in AWS; these many. */
const DELETED_KEPT = 100;

/** Run-time stacks, written through at every change of status. Templates are kept once per content. */
export class StackStore {
  readonly #state: StateFile;
  readonly #changed: (record: StackRecord) => void;
  #records: StackRecord[];

  /** @param changed told of every status a stack takes, once it is durable */
  constructor(state: StateFile, changed: (record: StackRecord) => void) {
    this.#state = state;
    this.#changed = changed;
    this.#records = state.load<StackRecord[]>(DOCUMENT, []);
  }

  /** Newest first. */
  all(): StackRecord[] {
    return [...this.#records].reverse();
  }

  /** By id, deleted or not; by name, only if it is not deleted. */
  find(nameOrId: string, region: string): StackRecord | undefined {
    return this.#records.findLast((record) =>
      nameOrId.startsWith('arn:')
        ? record.id === nameOrId
        : record.name === nameOrId && record.region === region && record.status !== 'DELETE_COMPLETE',
    );
  }

  add(record: StackRecord): void {
    this.#records.push(record);
    this.setStatus(record, record.status, record.statusReason);
  }

  /** Durable before it returns. */
  setStatus(record: StackRecord, status: StackStatus, reason?: string): void {
    record.status = status;
    record.statusReason = reason;
    this.addEvent(record, {
      logicalId: record.name,
      physicalId: record.id,
      type: 'AWS::CloudFormation::Stack',
      status,
      reason,
    });
    const deleted = this.#records.filter((one) => one.status === 'DELETE_COMPLETE');
    const forgotten = new Set(deleted.slice(0, Math.max(0, deleted.length - DELETED_KEPT)));
    this.#records = this.#records.filter((one) => !forgotten.has(one));
    this.save();
    this.#changed(record);
  }

  addEvent(record: StackRecord, event: Omit<StackEvent, 'id' | 'timestamp'>): void {
    record.events.push({ ...event, id: randomUUID(), timestamp: Date.now() });
  }

  save(): void {
    this.#state.save(DOCUMENT, this.#records);
  }

  /** Keeps a template; answers the name of its document. */
  keepTemplate(text: string): string {
    const document = `stack-template-${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    if (this.#state.load<string>(document, '') !== text) this.#state.save(document, text);
    return document;
  }

  templateText(record: StackRecord): string {
    return this.#state.load<string>(record.templateDocument, '{}');
  }

  template(record: StackRecord): Template {
    return JSON.parse(this.templateText(record)) as Template;
  }
}
