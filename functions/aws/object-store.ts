/**
 * A bucket of S3. Objects are streamed with bounded memory, and their SHA-256 is computed while they are uploaded.
 */
import { createHash, type Hash } from 'node:crypto';
import { type Duplex, type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3';

/** Settings of each written object, in addition to the bucket's defaults (SSE-KMS). */
export interface ObjectOptions {
  /** The object can be neither deleted nor replaced before that time. */
  readonly lock?: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly until: Date };
}

export interface StoredObject {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
  readonly lastModified: Date;
}

/** A version of an object, or a delete marker. */
export interface ObjectVersion {
  readonly key: string;
  /** `null` in a bucket without versions. */
  readonly versionId: string;
}

/** The object does not exist. */
export class ObjectMissing extends Error {
  override name = 'ObjectMissing';
  constructor(key: string, options?: ErrorOptions) {
    super(`no object ${key}`, options);
  }
}

/** The object is longer than the limit of its reader. */
export class ObjectTooLarge extends Error {
  override name = 'ObjectTooLarge';
}

/** The minimum of S3. Memory holds three parts: two in flight, and one that is being filled. 10,000 parts are 50 GB. */
const UPLOAD_PART_BYTES = 5 * 2 ** 20;
const UPLOADS_AT_ONCE = 2;
const PUT_ATTEMPTS = 5;
/** Keys per request: the limit of DeleteObjects. */
const DELETE_AT_ONCE = 1_000;

const clients = new Map<string | undefined, Promise<S3Client>>();

/**
 * One client per container and region, loaded at first use. A request that hangs fails after 30 s. A request has up to
 * five attempts, because S3 answers 503 while it scales. An object's stream that stalls fails after 30 s, too.
 * @param region of the bucket; the function's own when absent.
 */
export function s3Client(region?: string): Promise<S3Client> {
  let client = clients.get(region);
  client ??= import('@aws-sdk/client-s3').then(
    ({ S3Client }) =>
      new S3Client({
        ...(region === undefined ? {} : { region }),
        maxAttempts: 5,
        requestHandler: {
          connectionTimeout: 3_000,
          requestTimeout: 30_000,
          socketTimeout: 30_000,
          throwOnRequestTimeout: true,
        },
      }),
  );
  clients.set(region, client);
  return client;
}

export class ObjectStore {
  readonly bucket: string;
  readonly #client: () => Promise<S3Client>;
  readonly #options: ObjectOptions;

  constructor(bucket: string, options: ObjectOptions = {}, client: () => Promise<S3Client> = s3Client) {
    this.bucket = bucket;
    this.#options = options;
    this.#client = client;
  }

  /**
   * Uploads the output of the stream after the transforms; a long output is uploaded in parts. If a stream or S3 fails,
   * the upload is aborted, the streams are destroyed, and nothing is stored.
   * @throws the error of a stream or of S3.
   */
  async upload(key: string, body: Readable, ...transforms: readonly Duplex[]): Promise<StoredObject> {
    const [{ Upload }, s3] = await Promise.all([import('@aws-sdk/lib-storage'), this.#client()]);
    const measured = new MeasuredStream();
    const upload = new Upload({
      client: s3,
      params: { ...this.#parameters(key), Body: measured },
      partSize: UPLOAD_PART_BYTES,
      queueSize: UPLOADS_AT_ONCE,
    });
    // An error of S3 destroys the stream, and an error of the stream fails the upload. `abort` is not used: it would
    // return before S3 has deleted the parts, and hide the error.
    const feeding = pipeline([body, ...transforms, measured]);
    const uploading = upload.done().catch((error: unknown) => {
      measured.destroy(error as Error);
      throw error;
    });
    const [fed, uploaded] = await Promise.allSettled([feeding, uploading]);
    if (fed.status === 'rejected') throw causeOf(fed.reason, uploaded);
    if (uploaded.status === 'rejected') throw uploaded.reason;
    return measured.stored();
  }

  /** Stores a text as one object; replaces an existing one. At most 5 GB; 64 MiB on the local platform. */
  async putText(key: string, text: string, contentType: string): Promise<void> {
    const [{ PutObjectCommand }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    await s3.send(new PutObjectCommand({ ...this.#parameters(key), Body: text, ContentType: contentType }));
  }

  /** Stores a text as one object if the key does not exist. @returns whether it was stored. */
  async putTextOnce(key: string, text: string, contentType: string): Promise<boolean> {
    const [{ PutObjectCommand }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    const put = { ...this.#parameters(key), Body: text, ContentType: contentType, IfNoneMatch: '*' };
    for (let attempt = 1; ; attempt++) {
      try {
        await s3.send(new PutObjectCommand(put));
        return true;
      } catch (error) {
        const { name } = error as Error;
        if (name === 'PreconditionFailed') return false;
        // Two conditional writes at once: S3 requires both to try again.
        if (name !== 'ConditionalRequestConflict' || attempt === PUT_ATTEMPTS) throw error;
      }
    }
  }

  /**
   * Opens the object as a stream, which fails if the connection ends early.
   * @throws {ObjectMissing} and S3's errors.
   */
  async download(key: string): Promise<{ readonly body: Readable; readonly bytes: number }> {
    const [{ GetObjectCommand }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    const { Body, ContentLength } = await s3
      .send(new GetObjectCommand({ Bucket: this.bucket, Key: key }))
      .catch(missing(key));
    return { body: Body as Readable, bytes: ContentLength ?? 0 };
  }

  /** @throws {ObjectMissing | ObjectTooLarge} and S3's errors. */
  async readText(key: string, maxBytes: number): Promise<string> {
    const { body, bytes } = await this.download(key);
    if (bytes > maxBytes) {
      body.destroy();
      throw new ObjectTooLarge(`object ${key} has ${bytes} bytes`);
    }
    return Buffer.concat(await body.toArray()).toString('utf8');
  }

  /** Reads the object's size in bytes. @throws {ObjectMissing} and S3's errors. */
  async size(key: string): Promise<number> {
    const [{ HeadObjectCommand }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    const { ContentLength } = await s3
      .send(new HeadObjectCommand({ Bucket: this.bucket, Key: key }))
      .catch(missing(key));
    return ContentLength ?? 0;
  }

  /**
   * Objects whose keys begin with the prefix, in the order of their keys.
   * @param after lists only keys after this one.
   */
  async *list(prefix: string, after?: string): AsyncGenerator<ListedObject> {
    const [{ ListObjectsV2Command }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    let token: string | undefined;
    do {
      const page = await s3.send(
        new ListObjectsV2Command({
          Bucket: this.bucket,
          Prefix: prefix,
          ...(token === undefined ? { StartAfter: after } : { ContinuationToken: token }),
        }),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key !== undefined)
          yield { key: Key, bytes: Size ?? 0, lastModified: LastModified ?? new Date(0) };
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  /**
   * Names of the folders directly below a prefix, in ascending order.
   * @param prefix ends with a slash.
   * @param after lists only folders of keys after this one.
   */
  async folders(
    prefix: string,
    { after, limit }: { readonly after: string | undefined; readonly limit: number },
  ): Promise<string[]> {
    const [{ ListObjectsV2Command }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    const { CommonPrefixes = [] } = await s3.send(
      new ListObjectsV2Command({
        Bucket: this.bucket,
        Prefix: prefix,
        Delimiter: '/',
        StartAfter: after,
        MaxKeys: limit,
      }),
    );
    return CommonPrefixes.map(({ Prefix = '' }) => Prefix.slice(prefix.length, -1));
  }

  /**
   * Deletes objects; missing ones count as deleted.
   * @throws {AggregateError} with an error for each key that S3 refused.
   */
  async delete(keys: readonly string[]): Promise<void> {
    const [{ DeleteObjectsCommand }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    const refused: Error[] = [];
    for (let from = 0; from < keys.length; from += DELETE_AT_ONCE) {
      const Objects = keys.slice(from, from + DELETE_AT_ONCE).map((Key) => ({ Key }));
      const { Errors } = await s3.send(
        new DeleteObjectsCommand({ Bucket: this.bucket, Delete: { Objects, Quiet: true } }),
      );
      for (const { Key, Code } of Errors ?? []) refused.push(new Error(`${Key}: ${Code}`));
    }
    if (refused.length > 0) throw new AggregateError(refused, 'objects could not be deleted');
  }

  /**
   * All versions and delete markers of objects whose keys begin with the prefix. In a bucket without versions each object
   * is one version, `null`.
   */
  async *versions(prefix: string): AsyncGenerator<ObjectVersion> {
    const [{ ListObjectVersionsCommand }, s3] = await Promise.all([
      import('@aws-sdk/client-s3'),
      this.#client(),
    ]);
    let markers: { KeyMarker?: string; VersionIdMarker?: string } = {};
    for (;;) {
      const page = await s3.send(
        new ListObjectVersionsCommand({ Bucket: this.bucket, Prefix: prefix, ...markers }),
      );
      for (const { Key, VersionId } of [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])])
        if (Key !== undefined) yield { key: Key, versionId: VersionId ?? 'null' };
      if (!page.IsTruncated || page.NextKeyMarker === undefined) return;
      markers = {
        KeyMarker: page.NextKeyMarker,
        ...(page.NextVersionIdMarker === undefined ? {} : { VersionIdMarker: page.NextVersionIdMarker }),
      };
    }
  }

  /**
   * Deletes versions permanently; missing ones count as deleted.
   * @returns those that S3 refused to delete, such as locked ones.
   */
  async deleteVersions(versions: readonly ObjectVersion[]): Promise<ObjectVersion[]> {
    const [{ DeleteObjectsCommand }, s3] = await Promise.all([import('@aws-sdk/client-s3'), this.#client()]);
    const refused: ObjectVersion[] = [];
    for (let from = 0; from < versions.length; from += DELETE_AT_ONCE) {
      const Objects = versions
        .slice(from, from + DELETE_AT_ONCE)
        .map(({ key, versionId }) => ({ Key: key, VersionId: versionId }));
      const { Errors } = await s3.send(
        new DeleteObjectsCommand({ Bucket: this.bucket, Delete: { Objects, Quiet: true } }),
      );
      for (const { Key, VersionId } of Errors ?? [])
        if (Key !== undefined) refused.push({ key: Key, versionId: VersionId ?? 'null' });
    }
    return refused;
  }

  /** Until when Object Lock keeps a version; undefined where it is not locked. */
  async lockedUntil({ key, versionId }: ObjectVersion): Promise<Date | undefined> {
    const [{ GetObjectRetentionCommand }, s3] = await Promise.all([
      import('@aws-sdk/client-s3'),
      this.#client(),
    ]);
    try {
      const { Retention } = await s3.send(
        new GetObjectRetentionCommand({ Bucket: this.bucket, Key: key, VersionId: versionId }),
      );
      return Retention?.RetainUntilDate;
    } catch (error) {
      if ((error as Error).name === 'NoSuchObjectLockConfiguration') return undefined;
      throw error;
    }
  }

  #parameters(key: string): Pick<PutObjectCommandInput, 'Bucket' | 'Key'> {
    const { lock } = this.#options;
    return {
      Bucket: this.bucket,
      Key: key,
      ...(lock ? { ObjectLockMode: lock.mode, ObjectLockRetainUntilDate: lock.until } : {}),
    };
  }
}

/** Passes bytes on; counts and hashes them. */
export class MeasuredStream extends Transform {
  #bytes = 0;
  readonly #hash: Hash = createHash('sha256');
  #digest: string | undefined;

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
    done(null, chunk);
  }

  /** Call it after all bytes have passed. */
  stored(): StoredObject {
    this.#digest ??= this.#hash.digest('hex');
    return { bytes: this.#bytes, sha256: this.#digest };
  }
}

function missing(key: string) {
  return (error: unknown): never => {
    const { name, $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } };
    if (name === 'NoSuchKey' || name === 'NotFound' || $metadata?.httpStatusCode === 404)
      throw new ObjectMissing(key, { cause: error });
    throw error;
  };
}

/** Codes of Node's errors in a stream that its reader destroyed. */
const ENDED_BY_READER = new Set(['ABORT_ERR', 'ERR_STREAM_PREMATURE_CLOSE']);

/**
 * If stream and upload failed, the stream's error is the cause, unless it only says that the upload destroyed the
 * stream.
 */
function causeOf(fed: unknown, uploaded: PromiseSettledResult<unknown>): unknown {
  if (uploaded.status !== 'rejected') return fed;
  return ENDED_BY_READER.has((fed as { code?: string }).code ?? '') ? uploaded.reason : fed;
}
