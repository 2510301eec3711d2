import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { Parser } from 'tar';
import { beginExport } from '../../functions/exports/begin-export.ts';
import { findSource } from '../../functions/exports/export-source.ts';
import { archiveKey, finishExport } from '../../functions/exports/finish-export.ts';
import { type ExportContext, writeParts } from '../../functions/exports/write-parts.ts';
import type { BackupWorld } from '../backup/backup-world.ts';
import type { TestDatabase } from '../test-database.ts';
import type { WriterOrder, WriterReport } from './writer-process.ts';

const ACTOR = { id: 'execution', type: 'workflow' } as const;

/** Path of PostgreSQL's own client, if installed. Loading with it proves that tenant.sql needs none of our code. */
export const psql = ['/usr/bin/psql', '/usr/local/bin/psql'].find((path) => existsSync(path));

/** One export with its phases; `deadline` in ms from now. */
export async function begin(world: BackupWorld, tenantId: string, backupId: string) {
  const { exportId } = await beginExport(
    world.registryCalls,
    { tenantId, backupId },
    `execution:${randomUUID()}`,
  );
  const context = { registry: world.registryCalls, store: world.bucket.store, exportId };
  const noBackup = () => Promise.reject(new Error('the export has a backup'));
  return {
    exportId,
    context: context as ExportContext,
    prefix: `tenant-exports/${tenantId}/${exportId}/`,
    source: () => findSource(world.registryCalls, exportId, noBackup),
    write: (deadline = 60_000) => writeParts(context, performance.now() + deadline),
    finish: () => finishExport(context, ACTOR),
  };
}

/** Makes an export without failures. @returns the files of the archive, by their path in its folder. */
export async function exportFiles(
  world: BackupWorld,
  tenantId: string,
  backupId: string,
): Promise<Map<string, Buffer>> {
  const run = await begin(world, tenantId, backupId);
  await run.source();
  while (!(await run.write()).done);
  await run.finish();
  const { body } = await world.bucket.store.download(archiveKey(run.prefix));
  return unpack(Buffer.concat(await body.toArray()));
}

/** Files of an archive by their path without the folder. */
export async function unpack(archive: Buffer): Promise<Map<string, Buffer>> {
  const entries: Promise<[string, Buffer]>[] = [];
  await new Promise<void>((resolve, reject) => {
    const parser = new Parser({
      strict: true,
      onReadEntry: (entry) => {
        const path = entry.path.replace(/^[^/]+\//, '');
        entries.push(entry.concat().then((content) => [path, Buffer.from(content)]));
      },
    });
    parser.on('end', resolve);
    parser.on('error', reject);
    parser.end(archive);
  });
  return new Map(await Promise.all(entries));
}

/** Loads a file into a database with `psql`. */
export async function load(file: Buffer, { server, name }: TestDatabase): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'strata-export-'));
  const path = join(directory, 'tenant.sql');
  const { user, password } = server.logins.master;
  try {
    writeFileSync(path, file);
    await promisify(execFile)(String(psql), ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', path], {
      env: {
        PGHOST: '127.0.0.1',
        PGPORT: String(server.port),
        PGUSER: user,
        PGPASSWORD: password,
        PGDATABASE: name,
      },
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Parses a CSV file by RFC 4180; null is an empty field without quotes. */
export function parseCsv(text: string): (string | null)[][] {
  const records: (string | null)[][] = [];
  let at = 0;
  while (at < text.length) {
    const record: (string | null)[] = [];
    for (;;) {
      if (text[at] === '"') {
        const end = closingQuote(text, at + 1);
        record.push(text.slice(at + 1, end).replaceAll('""', '"'));
        at = end + 1;
      } else {
        const [plain = ''] = /^[^",\r\n]*/.exec(text.slice(at)) ?? [];
        record.push(plain === '' ? null : plain);
        at += plain.length;
      }
      if (text[at] !== ',') break;
      at += 1;
    }
    if (text.slice(at, at + 2) !== '\r\n') throw new Error(`no end of a line at ${at}`);
    at += 2;
    records.push(record);
  }
  return records;
}

function closingQuote(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 2))
    if (text[at + 1] !== '"') return at;
  throw new Error('a quoted field has no end');
}

/** Writes an export in a process of its own. */
export function startWriter(world: BackupWorld, exportId: string) {
  const { server, name } = world.registry;
  const order: WriterOrder = {
    exportId,
    registry: { host: '127.0.0.1', port: server.port, database: name, ...server.logins.registryWriter },
    endpoint: world.bucket.endpoint,
    bucket: world.bucket.name,
  };
  const script = join(import.meta.dirname, 'writer-process.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  return {
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
    /** Resolves with the measurements once the process has ended. */
    async report(): Promise<WriterReport> {
      const [output] = await Promise.all([textOf(child.stdout), exited]);
      return JSON.parse(output) as WriterReport;
    },
  };
}
