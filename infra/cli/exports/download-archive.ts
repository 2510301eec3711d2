import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { CommandError } from '../errors.ts';

/**
 * Downloads an archive by its link, and compares it with its SHA-256. The file is there under its name only when it is
 * whole; an existing one is replaced then.
 * @throws {CommandError} the link is refused, the file cannot be written, or what arrived is not the archive
 */
export async function downloadArchive(url: string, sha256: string, file: string): Promise<void> {
  const response = await fetch(url);
  if (!response.ok || !response.body) throw new CommandError(`the download was answered ${response.status}`);
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
    if (hash.digest('hex') !== sha256) throw new CommandError('what was downloaded is not the archive');
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    if (error instanceof CommandError) throw error;
    throw new CommandError(`the archive was not written to ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
