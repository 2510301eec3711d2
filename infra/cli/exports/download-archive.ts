import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { CommandError } from '../errors.ts';

/**
 * Downloads an archive by its link and verifies its SHA-256. The file gets its name only once it is complete and
 * verified; it replaces an existing file then.
 * @throws {CommandError} the link is refused, the file cannot be written, or the SHA-256 differs.
 */
export async function downloadArchive(url: string, sha256: string, file: string): Promise<void> {
  const response = await fetch(url);
  if (!response.ok || !response.body)
    throw new CommandError(`the download failed with HTTP status ${response.status}`);
  const hash = createHash('sha256');
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const part = `${file}.part`;
  try {
    await pipeline(
      Readable.fromWeb(response.body as ReadableStream<Uint8Array>),
      measure,
      createWriteStream(part),
    );
    if (hash.digest('hex') !== sha256)
      throw new CommandError('the SHA-256 of the download differs from that of the archive');
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    if (error instanceof CommandError) throw error;
    throw new CommandError(`the archive was not written to ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
