/**
 * A directory in one compressed file, which is written with a single sync, however many files the directory has.
 *
 * Format: a zstd stream of entries. An entry is its type (1 byte), the length of its path (2 bytes) and the path relative
 * to the directory; a file's content follows in chunks, each behind its length (4 bytes), and ends with a chunk of length
 * 0. The last entry has the type END. Without it the file is truncated.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { chown, type FileHandle, mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { PostgresError, systemCode } from '../errors.ts';
import type { OsUser } from './postgres-files.ts';

const END = 0;
const DIRECTORY = 1;
const FILE = 2;
const CHUNK = 256 * 1024;

/** By path relative to the directory. */
export interface PackOptions {
  /** A directory that is left out is left out with all of its content. */
  isPacked(path: string): boolean;
  /** Whether a file, which must be small, is read until two reads agree: it is rewritten in place. */
  isRewritten(path: string): boolean;
  signal: AbortSignal;
}

/**
 * Packs a directory while other processes change it. A file that disappears meanwhile is left out.
 * @param target made durable before this returns
 * @returns bytes of the files that were read
 */
export async function packDirectory(
  directory: string,
  target: string,
  { isPacked, isRewritten, signal }: PackOptions,
): Promise<number> {
  let bytes = 0;
  async function* entries(path: string): AsyncGenerator<Buffer> {
    for (const entry of await readdir(join(directory, path), { withFileTypes: true })) {
      const inner = path === '' ? entry.name : `${path}/${entry.name}`;
      if (!isPacked(inner)) continue;
      if (entry.isDirectory()) {
        yield header(DIRECTORY, inner);
        yield* entries(inner);
      } else if (entry.isFile()) yield* isRewritten(inner) ? wholeContent(inner) : content(inner);
    }
  }
  async function* wholeContent(path: string): AsyncGenerator<Buffer> {
    let last = await readFile(join(directory, path));
    for (let again = await readFile(join(directory, path)); !again.equals(last); ) {
      last = again;
      again = await readFile(join(directory, path));
    }
    const lengths = Buffer.alloc(8);
    lengths.writeUInt32BE(last.length);
    yield Buffer.concat([header(FILE, path), lengths.subarray(0, 4), last, lengths.subarray(4)]);
    bytes += last.length;
  }
  async function* content(path: string): AsyncGenerator<Buffer> {
    const file = await openIfPresent(join(directory, path));
    if (!file) return;
    try {
      yield header(FILE, path);
      for (;;) {
        // Not reused: the compressor reads it after the next one is asked for.
        const chunk = Buffer.allocUnsafe(4 + CHUNK);
        const { bytesRead } = await file.read(chunk, 4, CHUNK);
        chunk.writeUInt32BE(bytesRead);
        yield chunk.subarray(0, 4 + bytesRead);
        bytes += bytesRead;
        if (bytesRead === 0) return;
      }
    } finally {
      await file.close();
    }
  }
  async function* all(): AsyncGenerator<Buffer> {
    yield* entries('');
    yield header(END, '');
  }
  const compress = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const file = createWriteStream(target, { mode: 0o600, flush: true });
  await pipeline(Readable.from(all(), { objectMode: false }), compress, file, { signal });
  return bytes;
}

/**
 * Makes the directory that was packed. Everything in it belongs to the user and is closed to others.
 * @throws {PostgresError} when the file is truncated
 */
export async function unpackDirectory(
  source: string,
  directory: string,
  { user, signal }: { user: OsUser; signal: AbortSignal },
): Promise<void> {
  const make = async (path: string) => {
    await mkdir(path, { mode: 0o700, recursive: true });
    await giveTo(path, user);
  };
  await make(directory);
  await pipeline(
    createReadStream(source),
    createZstdDecompress(),
    async (chunks: AsyncIterable<Buffer>) => {
      const reader = new Reader(chunks, source);
      for (;;) {
        const type = (await reader.take(1)).readUInt8();
        const path = (await reader.take((await reader.take(2)).readUInt16BE())).toString();
        if (type === END) return;
        if (type === DIRECTORY) {
          await make(join(directory, path));
          continue;
        }
        const file = await open(join(directory, path), 'w', 0o600);
        try {
          for (;;) {
            const length = (await reader.take(4)).readUInt32BE();
            if (length === 0) break;
            await file.write(await reader.take(length));
          }
        } finally {
          await file.close();
        }
        await giveTo(join(directory, path), user);
      }
    },
    { signal },
  );
}

async function giveTo(path: string, { uid, gid }: OsUser): Promise<void> {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

async function openIfPresent(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw cause;
  }
}

function header(type: number, path: string): Buffer {
  const name = Buffer.from(path);
  const head = Buffer.alloc(3);
  head.writeUInt8(type);
  head.writeUInt16BE(name.length, 1);
  return Buffer.concat([head, name]);
}

/** Reads so many bytes at a time from chunks of any length. */
class Reader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #source: string;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>, source: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#source = source;
  }

  async take(length: number): Promise<Buffer> {
    while (this.#rest.length < length) {
      const { done, value } = await this.#chunks.next();
      if (done) throw new PostgresError(`${this.#source} is truncated`);
      this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value]);
    }
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }
}
