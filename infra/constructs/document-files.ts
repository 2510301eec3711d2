import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

/** A file that a function reads from its bundle. */
export interface BundledFile {
  /** Inside the bundle. */
  readonly path: string;
  readonly contents: Uint8Array;
}

/** Where `functions/api/public/handler.ts` looks for them. */
const FOLDER = 'api/public';

/** Files of Swagger UI that the page needs. */
const VIEWER = [
  'swagger-ui-bundle.js',
  'swagger-ui-bundle.js.LICENSE.txt',
  'swagger-ui.css',
  'favicon-32x32.png',
];

/** The program that prints the API's document, relative to `functions/`. */
export const PRINTER = 'api/print-openapi.ts';

/** The code comes through standard input. */
const ARGUMENTS = ['--input-type=module', '-'];
/** The document has some hundred KB. */
const OPTIONS = { maxBuffer: 64 * 1024 ** 2 };

/**
 * The API's document and the viewer's files, compressed.
 * @param code of the printer, bundled. It runs in a process of its own: the sources may be another release's.
 */
export function documentFiles(projectDirectory: string, code: Uint8Array): BundledFile[] {
  const document = execFileSync(process.execPath, ARGUMENTS, { ...OPTIONS, input: code });
  return files(projectDirectory, document);
}

/** The same, concurrently with this process. */
export async function documentFilesMeanwhile(
  projectDirectory: string,
  code: Uint8Array,
): Promise<BundledFile[]> {
  const running = promisify(execFile)(process.execPath, ARGUMENTS, OPTIONS);
  running.child.stdin?.end(code);
  const { stdout } = await running;
  return files(projectDirectory, Buffer.from(stdout));
}

function files(projectDirectory: string, document: Uint8Array): BundledFile[] {
  const { resolve } = createRequire(join(projectDirectory, 'package.json'));
  const viewer = dirname(resolve('swagger-ui-dist/package.json'));
  const contents: [string, Uint8Array][] = [
    ['openapi.json', document],
    ...VIEWER.map((name): [string, Uint8Array] => [name, readFileSync(join(viewer, name))]),
  ];
  return contents.map(([name, bytes]) => ({
    path: `${FOLDER}/${name}.gz`,
    contents: gzipSync(bytes, { level: 9 }),
  }));
}
