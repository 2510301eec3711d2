/**
 * The archive of an export: `tenant.tar.gz`, a tar file compressed with gzip, which every common tool opens.
 *
 * Concatenated gzip streams are one gzip stream (RFC 1952, 2.2). So each part's rows are compressed only once, in any
 * call of the function. The archive is the concatenation of those parts, with small gzip streams in between: the
 * headers of tar, the texts around the rows, and the padding to blocks of 512 bytes. Packing the archive compresses no
 * rows again. It needs only the size of each file, which is known from its parts.
 */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Header } from 'tar/header';

/** A piece of a file that is stored as a compressed object. */
export interface StoredPiece {
  readonly key: string;
  /** Size before compression. */
  readonly bytes: number;
}

export interface ArchiveFile {
  /** Path in the archive, with `/`; at most 100 characters. */
  readonly path: string;
  /** Texts and stored pieces, in their order in the file. */
  readonly content: readonly (string | StoredPiece)[];
}

export interface ArchiveSource {
  readonly files: readonly ArchiveFile[];
  /** Modification time of all files. */
  readonly modifiedAt: Date;
  /**
   * Opens the compressed bytes of a piece. The stream fails at its end if they differ from the bytes that were stored.
   */
  open(piece: StoredPiece): Promise<Readable>;
}

const BLOCK_BYTES = 512;
/** The end of a tar file. */
const END = Buffer.alloc(2 * BLOCK_BYTES);
const compressed = promisify(gzip);

/** The bytes of the archive, as a stream: memory holds only the buffers of the current piece. */
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
    // Also runs if the reader stops in the middle of the archive: the connection must not stay open.
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
  // Sizes from 8 GiB are encoded in base 256, as GNU tar does.
  header.encode(block);
  return block;
}
