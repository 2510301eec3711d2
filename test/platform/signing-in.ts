import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { PROJECT, platform } from './running-platform.ts';

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** The command line of one person, with a configuration directory of its own. */
export class Terminal {
  readonly configDir: string;

  constructor() {
    this.configDir = mkdtempSync(join(tmpdir(), 'strata-sign-in-'));
    onTestFinished(() => rmSync(this.configDir, { recursive: true, force: true }));
  }

  /** @param onLine gets each line of the output as it comes. */
  strata(args: string[], onLine: (line: string) => void = () => {}): Promise<Ended> {
    const { apiUrl, awsUrl, stateDir } = platform();
    const { PATH, NODE_COMPILE_CACHE, TMPDIR } = process.env;
    const child = spawn(process.execPath, ['infra/cli/strata.ts', ...args], {
      cwd: PROJECT,
      env: {
        PATH,
        NODE_COMPILE_CACHE,
        TMPDIR,
        STRATA_API_URL: apiUrl,
        AWS_PORT: new URL(awsUrl).port,
        STRATA_DIR: stateDir,
        STRATA_CONFIG_DIR: this.configDir,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let error = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const before = out.lastIndexOf('\n') + 1;
      out += text;
      for (const line of out.slice(before).split('\n').slice(0, -1)) onLine(line);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      error += text;
    });
    return new Promise((done) => {
      child.once('close', (code) => done({ code: code ?? -1, out, error }));
    });
  }

  /** `strata login`, with the page filled in. */
  async login(email: string, ...args: string[]): Promise<Ended> {
    let page: Promise<string> = Promise.resolve('no page was shown');
    const ended = await this.strata(['login', '--no-browser', ...args], (line) => {
      if (line.startsWith('http')) page = fillIn(line, email).catch((cause: unknown) => String(cause));
    });
    await page;
    return ended;
  }
}

/** Does what a browser and a person do: opens the page, sends its form, and follows the redirection. @returns the last page. */
export async function fillIn(
  url: string,
  email: string,
  fields: Record<string, string> = {},
): Promise<string> {
  const shown = await fetch(url, { headers: { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' } });
  const html = await shown.text();
  const [, action = ''] = /<form method="post" action="([^"]*)">/.exec(html) ?? [];
  const [, request = ''] = /name="request" value="([^"]*)"/.exec(html) ?? [];
  const form = { request: request.replaceAll('&#38;', '&'), email, ...fields };
  const { origin } = new URL(url);
  const sent = await fetch(new URL(action, origin), {
    method: 'POST',
    redirect: 'manual',
    headers: { origin, 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams(form),
  });
  const next = sent.headers.get('location');
  return next === null ? sent.text() : (await fetch(next.replace('//localhost', '//127.0.0.1'))).text();
}
