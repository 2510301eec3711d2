/**
 * The `fauxqs` package, which stores buckets, topics and queues and implements S3's, SNS's and SQS's protocols. It runs in this
 * process without a port of its own: fauxqs checks no permissions, so requests reach it only through the endpoint.
 *
 * States: idle → open → closed. It opens at the first call, because that takes 0.2 s and 40 MB; earlier declarations of
 * templates are made then. Its state is an SQLite database under `<state directory>/fauxqs/`, where every change is
 * durable.
 */
import { mkdirSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { buildApp } from 'fauxqs';

export interface FauxqsRequest {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Query string, without the question mark. */
  search?: string;
  /** Decoded; absent for requests to the service itself. */
  bucket?: string;
  /** Decoded; absent for requests to the bucket. */
  key?: string;
  headers: Record<string, string>;
  body: Buffer;
  /** Answers 412 without any change when the object exists. */
  ifAbsent?: boolean;
}

export interface FauxqsResponse {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/** The parts of fauxqs's stores that are used here. */
export interface Stores {
  s3: {
    createBucket(name: string): void;
    /** @throws {Error} when it is not empty, or does not exist */
    deleteBucket(name: string): void;
    buckets: Map<string, Map<string, unknown>>;
    multipartUploads: Map<string, { bucket: string; key: string }>;
  };
  sns: {
    createTopic(name: string, attributes: undefined, tags: undefined, region: string): void;
    deleteTopic(arn: string): boolean;
    topics: Map<string, { subscriptionArns: string[]; attributes: Record<string, string> }>;
    subscribe(
      topicArn: string,
      protocol: string,
      endpoint: string,
      attributes?: Record<string, string>,
    ): unknown;
    unsubscribe(arn: string): boolean;
    subscriptions: Map<string, Subscription>;
  };
  sqs: {
    createQueue(name: string, url: string, arn: string, attributes?: Record<string, string>): Queue;
    deleteQueue(url: string): boolean;
    getQueueByArn(arn: string): Queue | undefined;
  };
  matchesFilterPolicy(policy: unknown, attributes: unknown): boolean;
  matchesFilterPolicyOnBody(policy: unknown, message: string): boolean;
}

interface Queue {
  attributes: Record<string, string>;
  setAttributes(attributes: Record<string, string>): void;
}

export interface Subscription {
  arn: string;
  topicArn: string;
  protocol: string;
  endpoint: string;
  attributes: Record<string, string>;
}

interface Open {
  stores: Stores;
  app: ReturnType<typeof buildApp>;
  requests: Map<string, FauxqsRequest>;
  close(): Promise<void>;
}

/**
 * Identifies the request whose body, bucket and key are passed outside of HTTP: fauxqs parses 11 MiB at most, and URLs
 * lose segments such as `..`, so that fauxqs would use another object than the one whose permissions were checked.
 */
const REQUEST_HEADER = 'x-strata-request';

export class Fauxqs {
  readonly #directory: string;
  readonly #declared: ((stores: Stores) => void)[] = [];
  #open: Promise<Open> | undefined;
  #closed = false;
  #requests = 0;

  constructor(stateDir: string) {
    this.#directory = join(stateDir, 'fauxqs');
  }

  /** Makes a template's declaration: now if it is open, otherwise when it opens. `make` must be idempotent. */
  async declare(make: (stores: Stores) => void): Promise<void> {
    if (this.#open) make((await this.#open).stores);
    else this.#declared.push(make);
  }

  /** What a client has set as the policy of a topic or a queue; as text. */
  async policyOf(arn: string): Promise<string | undefined> {
    const { sns, sqs } = await this.stores();
    const policy = (sns.topics.get(arn) ?? sqs.getQueueByArn(arn))?.attributes.Policy;
    return policy === '' ? undefined : policy;
  }

  async stores(): Promise<Stores> {
    return (await this.#opened()).stores;
  }

  async send(request: FauxqsRequest): Promise<FauxqsResponse> {
    const { app, requests } = await this.#opened();
    const { method, search = '', bucket, key, headers, body } = request;
    this.#requests += 1;
    const id = String(this.#requests);
    requests.set(id, request);
    const path = bucket === undefined ? '/' : key === undefined ? '/bucket' : '/bucket/key';
    try {
      const response = await app.inject({
        method,
        url: search === '' ? path : `${path}?${search}`,
        headers: { ...headers, [REQUEST_HEADER]: id },
        // fauxqs's parser reads JSON, and refuses an empty one.
        ...(headers['content-type'] === QUEUE_JSON ? { payload: body } : {}),
      });
      const answered = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
      return {
        status: response.statusCode,
        headers: Object.fromEntries(answered) as Record<string, string>,
        body: response.rawPayload,
      };
    } finally {
      requests.delete(id);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await (await this.#open?.catch(() => undefined))?.close();
  }

  #opened(): Promise<Open> {
    if (this.#closed) throw new Error('fauxqs is closed');
    this.#open ??= this.#start();
    return this.#open;
  }

  async #start(): Promise<Open> {
    const [{ buildApp }, internals] = await Promise.all([import('fauxqs'), loadInternals()]);
    const { S3Store, SnsStore, SqsStore, PersistenceManager } = internals;
    const [s3Store, snsStore, sqsStore] = [new S3Store(), new SnsStore(), new SqsStore()];
    // Objects include backups, so no other user of the machine may read them.
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const persistence = new PersistenceManager(this.#directory);
    // Loaded first, because loaded entries must not be written again.
    persistence.load(sqsStore, snsStore, s3Store);
    for (const store of [s3Store, snsStore, sqsStore]) store.persistence = persistence;
    const app = buildApp({
      logger: false,
      stores: { s3Store, snsStore, sqsStore } as unknown as FauxqsStores,
    });
    const requests = new Map<string, FauxqsRequest>();
    app.addHook('preHandler', (request, reply, done) => {
      const {
        body,
        bucket = '',
        key = '',
        headers,
        ifAbsent,
      } = requests.get(String(request.headers[REQUEST_HEADER]))!;
      // Registered here, because the code below runs without another request in between.
      if (ifAbsent && s3Store.buckets.get(bucket)?.has(key)) {
        reply.code(412).send();
        return;
      }
      const isForm = headers['content-type'] === FORM && bucket === '';
      if (headers['content-type'] === QUEUE_JSON && bucket === '') {
        done();
        return;
      }
      request.body = isForm ? Object.fromEntries(new URLSearchParams(body.toString())) : body;
      request.params = { bucket, '*': key };
      done();
    });
    await app.ready();
    const { matchesFilterPolicy, matchesFilterPolicyOnBody } = internals;
    const stores = {
      s3: s3Store,
      sns: snsStore,
      sqs: sqsStore,
      matchesFilterPolicy,
      matchesFilterPolicyOnBody,
    };
    for (const make of this.#declared.splice(0)) make(stores);
    const close = async () => {
      await app.close();
      persistence.close();
    };
    return { stores, app, requests, close };
  }
}

/** SQS's protocol. */
const QUEUE_JSON = 'application/x-amz-json-1.0';

export const FORM = 'application/x-www-form-urlencoded';

type FauxqsStores = NonNullable<NonNullable<Parameters<typeof buildApp>[0]>['stores']>;

interface Persistent {
  persistence?: Persistence;
}

interface Persistence {
  load(sqs: unknown, sns: unknown, s3: unknown): void;
  close(): void;
}

interface Internals extends Pick<Stores, 'matchesFilterPolicy' | 'matchesFilterPolicyOnBody'> {
  S3Store: new () => Stores['s3'] & Persistent;
  SnsStore: new () => Stores['sns'] & Persistent;
  SqsStore: new () => Stores['sqs'] & Persistent;
  PersistenceManager: new (directory: string) => Persistence;
}

/**
 * Modules that fauxqs does not export: its own server with a database listens on every address of the machine, so it is
 * assembled here. The version is pinned.
 */
async function loadInternals(): Promise<Internals> {
  const root = dirname(findPackageJSON('fauxqs', import.meta.url)!);
  const names = ['s3/s3Store', 'sns/snsStore', 'sns/filter', 'sqs/sqsStore', 'persistence'];
  const modules = await Promise.all(
    names.map((name) => import(pathToFileURL(join(root, 'dist', `${name}.js`)).href)),
  );
  return Object.assign({}, ...modules) as Internals;
}
