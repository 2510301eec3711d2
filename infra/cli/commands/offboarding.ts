import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  fingerprintOf,
  forgeryOf,
  type SignedCertificate,
} from '../../../functions/contracts/erasure-certificate.ts';
import { type ApiClient, bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { CommandError, UsageError } from '../errors.ts';
import { patiently } from '../polling.ts';
import { shownJson, shownText } from '../shown-text.ts';
import { fields, LISTING_FLAGS } from '../table.ts';

const at = (slug: string) => ({ params: { path: { tenantId: slug } } });
const POLL_MS = 1_000;

export const offboard: Command = {
  name: 'offboard',
  words: 'SLUG',
  flags: ['yes', 'watch'],
  summary: 'offboards a tenant: final export, grace period, erasure; --yes is needed',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    if (!flags.has('yes')) {
      throw new CommandError(
        `this erases ${slug} everywhere after the grace period; if that is what you want, add --yes`,
      );
    }
    const client = await api();
    const { status } = await bodyOf(client.operations.DELETE('/tenants/{tenantId}', at(slug)));
    screen.line(`the offboarding of ${slug} is ${status}; it refuses requests from now on`);
    if (!flags.has('watch')) {
      screen.line(`see it with: strata offboarding ${slug}; stop it with: strata cancel-offboarding ${slug}`);
      return true;
    }
    let phase: string | undefined;
    for (;;) {
      const now = await patiently(() => read(client, slug));
      if (now.phase !== phase) screen.line(`${slug}: ${now.phase}${graceText(now)}`);
      phase = now.phase;
      if (now.status !== 'running') {
        screen.line(`${now.status}${now.reason ? `: ${shownText(now.reason)}` : ''}`);
        return now.status === 'succeeded';
      }
      await delay(POLL_MS);
    }
  },
};

const read = (client: ApiClient, slug: string): Promise<Schemas['Offboarding']> =>
  bodyOf(client.operations.GET('/tenants/{tenantId}/offboarding', at(slug)));

const graceText = ({ phase, graceUntil }: Schemas['Offboarding']) =>
  phase === 'grace' && graceUntil ? ` until ${graceUntil}` : '';

export const offboarding: Command = {
  name: 'offboarding',
  words: 'SLUG',
  flags: LISTING_FLAGS,
  summary: 'the offboarding of a tenant',
  async run({ words: [slug = ''], flags }, { api, screen }) {
    const found = await read(await api(), slug);
    for (const line of flags.has('json') ? [shownJson(found)] : fields(found)) screen.line(line);
    return true;
  },
};

export const cancelOffboarding: Command = {
  name: 'cancel-offboarding',
  words: 'SLUG',
  summary: 'serves a tenant again that is being offboarded, until its grace period is over',
  async run({ words: [slug = ''] }, { api, screen }) {
    await bodyOf(
      (await api()).operations.POST('/tenants/{tenantId}/offboarding/cancel', { ...at(slug), body: {} }),
    );
    screen.line(`the offboarding of ${slug} is cancelled`);
    return true;
  },
};

export const certificate: Command = {
  name: 'certificate',
  words: '[SLUG]',
  flags: ['json'],
  options: { out: 'FILE', verify: 'FILE', key: 'FILE' },
  summary:
    'the certificate of an erasure; --verify FILE checks one without the platform, with --key under a public key',
  async run({ words: [slug], flags, options }, { api, screen }) {
    const file = options.get('verify');
    if (file !== undefined) return verifyFile(file, options.get('key'), screen);
    if (options.has('key')) throw new UsageError('--key goes with --verify FILE');
    if (slug === undefined) throw new CommandError('name a tenant, or a file with --verify');
    const signed = await bodyOf(
      (await api()).operations.GET('/tenants/{tenantId}/erasure-certificate', at(slug)),
    );
    const out = options.get('out');
    if (out !== undefined) {
      writeFileSync(out, `${JSON.stringify(signed, null, 2)}\n`);
      screen.line(`written to ${out}`);
      return true;
    }
    if (flags.has('json')) {
      screen.line(shownJson(signed));
      return true;
    }
    for (const line of shownCertificate(signed)) screen.line(shownText(line));
    return true;
  },
};

/** In words: what was removed, and what is kept. */
function shownCertificate({
  certificate: { erased, kept, ...about },
  publicKeySha256,
}: SignedCertificate): string[] {
  return [
    `tenant ${about.slug} (${about.tenantId}), erased on ${about.erasureBegunAt.slice(0, 10)}`,
    '',
    'removed:',
    ...erased.map(({ store, region, removed }) => {
      const what = removed.map(({ what: kind, count }) => `${count} ${kind}`);
      return `  ${region} ${store}: ${what.length > 0 ? what.join(', ') : 'nothing was there'}`;
    }),
    '',
    'kept:',
    ...kept.map(
      ({ store, region, what, count, until }) =>
        `  ${region} ${store}: ${count === null ? '' : `${count} `}${what}${until ? `, until ${until.slice(0, 10)}` : ', stays'}`,
    ),
    '',
    `SHA-256 of the public key: ${publicKeySha256}`,
  ];
}

function verifyFile(
  file: string,
  keyFile: string | undefined,
  screen: { line(text: string): void },
): boolean {
  const signed = parsed(file);
  const publicKey = keyFile === undefined ? undefined : readText(keyFile).trim();
  const forgery = forgeryOf(signed, publicKey);
  if (forgery !== undefined) {
    screen.line(`not genuine: ${shownText(forgery)}`);
    return false;
  }
  const { slug, tenantId, issuedAt } = signed.certificate;
  screen.line(shownText(`genuine: tenant ${slug} (${tenantId}), issued at ${issuedAt}`));
  screen.line(
    keyFile === undefined
      ? `under its own public key; compare its SHA-256 with the published one: ${fingerprintOf(signed.publicKey)}`
      : `under the key of ${shownText(keyFile)}`,
  );
  return true;
}

function parsed(file: string): SignedCertificate {
  try {
    return JSON.parse(readText(file)) as SignedCertificate;
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new CommandError(`${file} is not JSON`, { cause });
    throw cause;
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CommandError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}
