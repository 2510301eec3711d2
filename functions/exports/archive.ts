/**
 * The archive of an export: a tar file in gzip, `tenant.tar.gz`, which every common tool opens.
 *
 * gzip streams that follow one another are one gzip stream (RFC 1952, 2.2). So the rows are compressed once, part by part
 * and in any call of the function, and the archive is those parts as they are, with small streams in between: the
 * headers of tar, the texts around the rows, and the filling to blocks of 512 bytes. Putting it together costs no
 * compression, and needs the size of each file only, which the parts have.
 */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Header } from 'tar/header';

/** A piece of a file that is compressed already. */
export interface StoredPiece {
  readonly key: string;
  /** What it has inside. */
  readonly bytes: number;
}

export interface ArchiveFile {
  /** Path in the archive, with `/`; at most 100 characters. */
  readonly path: string;
  /** Texts, and pieces in between. */
  readonly content: readonly (string | StoredPiece)[];
}

export interface ArchiveSource {
  readonly files: readonly ArchiveFile[];
  /** Of all files. */
  readonly modifiedAt: Date;
  /** The compressed bytes of a piece; fails at the end unless they are the stored ones. */
  open(piece: StoredPiece): Promise<Readable>;
}

const BLOCK_BYTES = 512;
/** The end of a tar file. */
const END = Buffer.alloc(2 * BLOCK_BYTES);
const compressed = promisify(gzip);

/** The bytes of the archive. Nothing but the pieces' buffers is in memory. */
export function archive(source: ArchiveSource): Readable {
  return Readable.from(pieces(source), { objectMode: false });
}

async function* pieces({ files, modifiedAt, open }: ArchiveSource): AsyncGenerator<Buffer> {
  for (const { path, content } of files) {
    const bytes = content.reduce((sum, piece) => sum + bytesOf(piece), 0);
    yield compressed(headerOf(path, bytes, modifiedAt));
    for (const piece of content) {
      if (typeof piece === 'string') yield compressed(Buffer.from(piece));
      else yield* read(await open(piece));
    }
    const rest = bytes % BLOCK_BYTES;
    if (rest > 0) yield compressed(Buffer.alloc(BLOCK_BYTES - rest));
  }
  yield compressed(END);
}

async function* read(stream: Readable): AsyncGenerator<Buffer> {
  try {
    yield* stream as AsyncIterable<Buffer>;
  } finally {
    // Also where the archive is given up in the middle: the connection must not stay open.
    if (!stream.closed) {
      const closed = once(stream, 'close');
      stream.destroy();
      await closed.catch(() => {});
    }
  }
}

const bytesOf = (piece: string | StoredPiece) =>
  typeof piece === 'string' ? Buffer.byteLength(piece) : piece.bytes;

function headerOf(path: string, size: number, mtime: Date): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const header = new Header({ path, mode: 0o644, uid: 0, gid: 0, size, mtime, type: 'File' });
  // A file from 8 GiB on has its size in base 256, as GNU tar writes it.
  header.encode(block);
  return block;
}
