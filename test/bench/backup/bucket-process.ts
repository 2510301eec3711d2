/**
 * What stands for S3 in the benchmark: objects are files, received and sent as they are, by a process of its own. S3 is on
 * other machines; the local platform's takes 1.3 s of a processor to store 100 MB durably and 1.6 s to send them, which
 * would be most of what is measured here. Only what backups use of S3 is answered; nothing is checked.
 * Prints its address and ends with its parent.
 */
import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface BucketAddress {
  readonly endpoint: string;
  readonly bucket: string;
}

const BUCKET = 'backups';
const directory = mkdtempSync(join(tmpdir(), 'strata-bench-bucket-'));
/** The files of an object or of an upload that is under way, in their order. */
const objects = new Map<string, string[]>();
const uploads = new Map<string, string[]>();
let files = 0;

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => response.destroy(error as Error));
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const address: BucketAddress = { endpoint: `http://127.0.0.1:${port}`, bucket: BUCKET };
  console.log(JSON.stringify(address));
});
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
process.stdin.resume();
process.stdin.once('end', () => process.exit());

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? '', 'http://bucket');
  const key = decodeURIComponent(pathname.slice(BUCKET.length + 2));
  const uploadId = query.get('uploadId');
  const xml = (body: string) => response.writeHead(200, { 'content-type': 'application/xml' }).end(body);
  switch (request.method) {
    case 'PUT': {
      const file = join(directory, String(files++));
      await pipeline(request, createWriteStream(file));
      if (uploadId === null) objects.set(key, [file]);
      else uploads.get(uploadId)![Number(query.get('partNumber')) - 1] = file;
      response.writeHead(200, { etag: `"${files}"` }).end();
      return;
    }
    case 'POST': {
      const body = (await request.toArray()).join('');
      if (query.has('uploads')) {
        const id = String(files++);
        uploads.set(id, []);
        xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
      } else if (uploadId !== null) {
        objects.set(key, uploads.get(uploadId)!);
        uploads.delete(uploadId);
        xml(`<CompleteMultipartUploadResult><ETag>"${uploadId}"</ETag></CompleteMultipartUploadResult>`);
      } else {
        for (const [, deleted = ''] of body.matchAll(/<Key>([^<]*)<\/Key>/g)) await remove(deleted);
        xml('<DeleteResult/>');
      }
      return;
    }
    case 'GET': {
      if (query.has('list-type')) {
        const keys = [...objects.keys()].filter((each) => each.startsWith(query.get('prefix') ?? '')).sort();
        const contents = keys.map((each) => `<Contents><Key>${each}</Key></Contents>`);
        xml(`<ListBucketResult>${contents.join('')}</ListBucketResult>`);
        return;
      }
      const parts = objects.get(key);
      if (!parts) {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, {
        'content-length': parts.reduce((sum, file) => sum + statSync(file).size, 0),
      });
      await pipeline(Readable.from(contentOf(parts)), response);
      return;
    }
    default:
      response.writeHead(405).end();
  }
}

async function* contentOf(files: readonly string[]) {
  for (const file of files) yield* createReadStream(file, { highWaterMark: 2 ** 18 });
}

async function remove(key: string): Promise<void> {
  for (const file of objects.get(key) ?? []) await rm(file);
  objects.delete(key);
}
