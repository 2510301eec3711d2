import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt, exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sampled } from '../../full-run.ts';
import { unusedPorts } from '../../local/running-fixture.ts';
import { type ApiPeer, endedMove, MOVE_ID, startApiPeer } from './api-peer.ts';
import { strata } from './run-command.ts';

let peer: ApiPeer;
let environment: Record<string, string>;
beforeAll(async () => {
  peer = await startApiPeer();
  environment = { STRATA_API_URL: peer.url, STRATA_TOKEN: 'a.b.c' };
});
beforeEach(() => {
  peer.requests.length = 0;
});
afterAll(() => peer.close());

/** A name that would clear the screen, set the window's title, forge a line, colour and turn round what follows. */
const HOSTILE = 'Evil\u001b[2J\u001b]0;pwned\u0007\nroot\u009b31m\u202eInc.';
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be emitted.
const ACTIVE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

const tenant = (slug: string, change: object = {}) => ({
  tenantId: `id-of-${slug}`,
  slug,
  name: `${slug} Inc.`,
  tier: 'business',
  isolationModel: 'schema',
  cellId: 'us-1',
  dataResidency: 'us',
  status: 'active',
  complianceRequirements: ['soc2', 'gdpr'],
  features: {},
  ...change,
});

async function lines(...args: string[]): Promise<string[]> {
  const { code, out, error } = await strata(args, environment);
  expect([code, error]).toEqual([0, '']);
  return out.trimEnd().split('\n');
}

describe('tables', () => {
  test('tenants of all pages are aligned and in the order of their slugs, without colours', async () => {
    const enterprise = { tier: 'enterprise', isolationModel: 'dedicated', cellId: null };
    peer.on('GET /tenants?limit=200', { body: { items: [tenant('globex')], nextCursor: 'next+page' } });
    peer.on('GET /tenants?limit=200&cursor=next%2Bpage', {
      body: { items: [tenant('acme', enterprise)], nextCursor: null },
    });
    expect(await lines('tenants')).toEqual([
      'SLUG    NAME         TIER        MODEL      CELL  RESIDENCY  STATUS',
      'acme    acme Inc.    enterprise  dedicated  -     us         active',
      'globex  globex Inc.  business    schema     us-1  us         active',
    ]);
    expect(peer.requests.map(({ authorization }) => authorization)).toEqual(['Bearer a.b.c', 'Bearer a.b.c']);
  });

  test('a long name is abridged in the list only', async () => {
    const long = tenant('globex', { name: '🙂'.repeat(255) });
    peer.on('GET /tenants?limit=200', { body: { items: [long], nextCursor: null } });
    peer.on('GET /tenants/globex', { body: long });
    expect((await lines('tenants'))[1]).toMatch(/^globex {2}🙂{39}… {2}/u);
    expect(await lines('tenant', 'globex')).toContainEqual(expect.stringMatching(/^name +🙂{255}$/u));
  });

  test('a tenant is all its fields', async () => {
    peer.on('GET /tenants/globex', { body: tenant('globex', { maxUsers: null, features: { sso: true } }) });
    const shown = await lines('tenant', 'globex');
    expect(shown).toContain('slug                    globex');
    expect(shown).toContain('complianceRequirements  soc2, gdpr');
    expect(shown).toContain('maxUsers                -');
    expect(shown).toContain('features.sso            true');
  });

  test('moves of all tenants come newest first', async () => {
    const older = { ...endedMove('failed'), startedAt: '2026-04-01T10:00:00.000Z', moveId: 'older' };
    const newest = { ...endedMove('succeeded'), startedAt: '2026-05-02T10:00:00.000Z', moveId: 'newest' };
    peer.on('GET /tenants?limit=200', {
      body: { items: [tenant('acme'), tenant('globex')], nextCursor: null },
    });
    peer.on('GET /tenants/acme/moves', { body: { items: [older, newest], nextCursor: null } });
    peer.on('GET /tenants/globex/moves', { body: { items: [endedMove('aborted')], nextCursor: null } });
    const shown = await lines('moves');
    expect(shown.slice(1).map((line) => line.split(/ {2,}/)[2])).toEqual(['newest', MOVE_ID, 'older']);
    expect(shown[2]).toBe(
      `2026-05-01 10:00:00  globex  ${MOVE_ID}  business  aborted    finish  12.3 s        12.9 ms  1,234  56.8 kB`,
    );
  });

  test('usage, decisions and offers', async () => {
    const sample = {
      sampledOn: '2026-05-01',
      activeUsers: 48,
      activeEmployees: 1_200,
      storageBytes: 1_300_000_000,
      rowOperations: null,
      monthlyRevenue: 499.5,
      actingUsers: 31,
      requests: 9_000,
      databaseMs: 181_500,
      keptBackupBytes: null,
    };
    peer.on('GET /tenants/globex/usage', { body: { items: [sample], nextCursor: null } });
    expect(await lines('usage', 'globex')).toEqual([
      'DAY         USERS  ACTING  EMPLOYEES  REQUESTS  DATABASE S  STORAGE  BACKUPS  REVENUE',
      '2026-05-01     48      31      1,200     9,000       181.5  1.3 GB   -          499.5',
    ]);
    const reasons = [
      { rule: 'users', detail: 'It has 51 users.' },
      { rule: 'revenue', detail: 'It pays 499.' },
    ];
    const decision = {
      decision: 'offer',
      targetTier: 'enterprise',
      reasons,
      decidedAt: '2026-05-01T02:00:03.000Z',
    };
    peer.on('GET /tenants/globex/decisions', { body: { items: [decision], nextCursor: null } });
    expect((await lines('decisions', 'globex'))[1]).toBe(
      '2026-05-01 02:00  offer     enterprise  -     It has 51 users. It pays 499.',
    );
    const offer = {
      offerId: 'o-1',
      targetTier: 'enterprise',
      status: 'open',
      reasons,
      createdAt: decision.decidedAt,
    };
    peer.on('GET /tenants/globex/offers', { body: { items: [offer], nextCursor: null } });
    expect((await lines('offers', 'globex'))[1]).toBe(
      '2026-05-01 02:00  o-1    enterprise  open    -     It has 51 users. It pays 499.',
    );
  });

  test('an accepted offer tells its move', async () => {
    peer.on('POST /tenants/globex/offers/o-1/accept', {
      status: 202,
      headers: { location: `/tenants/x/moves/${MOVE_ID}` },
      body: { moveId: MOVE_ID },
    });
    expect(await lines('accept', 'globex', 'o-1')).toEqual([
      `offer accepted: move ${MOVE_ID} of globex has started`,
      `watch it with: strata watch globex ${MOVE_ID}`,
    ]);
  });

  test('users and cells', async () => {
    const user = {
      userId: 'u-1',
      email: 'ada@globex.test',
      role: 'admin',
      isActive: false,
      createdAt: '2026-05-01T10:00:00.000Z',
      lastLoginAt: null,
    };
    peer.on('GET /tenants/globex/users', { body: { items: [user], nextCursor: null } });
    expect(await lines('users', 'globex')).toEqual([
      'EMAIL            ROLE   ACTIVE  SINCE             LAST SIGN-IN  USER',
      'ada@globex.test  admin  no      2026-05-01 10:00  -             u-1',
    ]);
    const cell = {
      cellId: 'us-1',
      region: 'us',
      dataResidency: 'us',
      status: 'active',
      sharedTenants: 1_200,
    };
    const utilisation = {
      databaseBytes: 3_500_000_000,
      connections: 120,
      maxConnections: 800,
      replicationSlots: 1,
      maxReplicationSlots: 40,
      databaseLoad: 0.25,
      proxySecrets: 96,
      maxProxySecrets: 200,
      observedAt: '2026-05-01T10:00:00.000Z',
    };
    const items = [
      { ...cell, schemaTenants: 95, maxSchemaTenants: 190, utilisation },
      {
        ...cell,
        cellId: 'us-2',
        status: 'draining',
        schemaTenants: 0,
        maxSchemaTenants: 0,
        utilisation: null,
      },
    ];
    peer.on('GET /cells', { body: { items, nextCursor: null } });
    expect(await lines('cells')).toEqual([
      'CELL  REGION  RESIDENCY  STATUS    SHARED  SCHEMAS   OF  FILL   SIZE    CONNECTIONS  LOAD  SLOTS  SECRETS',
      'us-1  us      us         active     1,200       95  190  50 %   3.5 GB  120/800       0.3  1/40   96/200',
      'us-2  us      us         draining   1,200        0    0  100 %  -       -               -  -      -',
    ]);
  });

  test('a cell’s plan says what is over its limit, who should go, and that nobody has', async () => {
    const path = '/cells/us-1/rebalancing-plan';
    const within = { cellId: 'us-1', exceeded: [], moves: [], newCells: [] };
    peer.on(`GET ${path}`, { body: within });
    expect(await lines('cells', 'us-1')).toEqual(['cell us-1 is within its limits: nothing has to move']);
    const move = {
      tenantId: 't-1',
      slug: 'globex',
      reason: 'is small',
      storageBytes: 3_500_000_000,
      targetCell: 'us-2',
      newCell: true,
      request: { targetCell: 'us-2', dryRun: true },
      estimate: { seconds: 100, writePauseMs: 13 },
    };
    const exceeded = [{ resource: 'schemas', used: 180, max: 190, share: 180 / 190 }];
    peer.on(`GET ${path}`, { body: { ...within, exceeded, moves: [move], newCells: ['us-2'] } });
    expect(await lines('cells', 'us-1')).toEqual([
      'over its limit: 180 of 190 schemas (94 %)',
      'add cell us-2 to the configuration and deploy it first',
      'TENANT  TO         NEW  SIZE    TAKES       PAUSE  WHY',
      'globex  cell:us-2  yes  3.5 GB  1 min 40 s  13 ms  is small',
      'nothing has moved; try one with: strata move TENANT TO --dry-run',
    ]);
  });

  test('alerts that are not resolved come newest first, and are acknowledged by their ids', async () => {
    const alert = (alertId: string, openedAt: string, change: object = {}) => ({
      alertId,
      kind: 'move-failed',
      severity: 'critical',
      status: 'open',
      region: 'us',
      tenantId: 't-1',
      cellId: null,
      summary: 'A move failed.',
      details: {},
      openedAt,
      ...change,
    });
    const page = (...items: object[]) => ({ body: { items, nextCursor: null } });
    peer.on('GET /alerts?status=open&limit=200', page(alert('a-1', '2026-05-01T10:00:00.000000Z')));
    peer.on(
      'GET /alerts?status=acknowledged&limit=200',
      page(alert('a-2', '2026-05-02T10:00:00.000000Z', { status: 'acknowledged', summary: HOSTILE })),
    );
    const shown = await lines('alerts');
    expect(shown.slice(1).map((line) => line.split(/ {2,}/).at(-1))).toEqual(['a-2', 'a-1']);
    expect(shown.join('')).not.toMatch(ACTIVE);
    peer.on('GET /tenants/globex', { body: tenant('globex') });
    peer.on('GET /alerts?status=resolved&kind=move-failed&tenantId=id-of-globex&limit=200', page());
    await lines('alerts', 'list', '--status', 'resolved', '--kind', 'move-failed', '--tenant', 'globex');
    peer.on('GET /alerts?cellId=us-1&limit=200', page());
    await lines('alerts', '--all', '--cell', 'us-1');
    peer.on('POST /alerts/a-1/acknowledge', {
      body: alert('a-1', '', { status: 'acknowledged', acknowledgedBy: 'op@strata.test' }),
    });
    expect(await lines('alerts', 'acknowledge', 'a-1')).toEqual([
      'alert a-1 (move-failed) acknowledged by op@strata.test',
    ]);
  });

  const LISTS: [command: string, words: string[], path: string][] = [
    ['tenants', [], '/tenants?limit=200'],
    ['moves', ['globex'], '/tenants/globex/moves'],
    ['users', ['globex'], '/tenants/globex/users'],
    ['usage', ['globex'], '/tenants/globex/usage'],
    ['decisions', ['globex'], '/tenants/globex/decisions'],
    ['offers', ['globex'], '/tenants/globex/offers'],
    ['cells', [], '/cells'],
  ];
  test.each(sampled(LISTS.slice(0, 2), LISTS))(
    '%s --json prints what the API answers, complete, and safe to show',
    async (command, words, path) => {
      const item = {
        slug: 'globex',
        startedAt: '2026-05-01T10:00:00.000Z',
        name: HOSTILE,
        nested: { n: 0.1234 },
      };
      peer.on(`GET ${path}`, { body: { items: [item], nextCursor: null } });
      const { code, out } = await strata([command, ...words, '--json'], environment);
      expect([code, JSON.parse(out)]).toEqual([0, [item]]);
      expect(out.replaceAll('\n', '')).not.toMatch(ACTIVE);
    },
  );

  test('what is stored is shown, and never acted upon by a terminal', async () => {
    const hostile = tenant('globex', { name: HOSTILE, features: { [HOSTILE]: HOSTILE } });
    peer.on('GET /tenants?limit=200', { body: { items: [hostile], nextCursor: null } });
    peer.on('GET /tenants/globex', { body: hostile });
    const listed = await lines('tenants');
    expect(listed).toHaveLength(2);
    expect(listed[1]).toContain('Evil\\u001b[2J\\u001b]0;pwned\\u0007\\nroot\\u009b31m\\u202eInc.');
    for (const shown of [listed, await lines('tenant', 'globex')]) expect(shown.join('')).not.toMatch(ACTIVE);
    const ended = endedMove('failed', HOSTILE);
    peer.on(`GET /tenants/globex/moves/${MOVE_ID}`, { body: ended });
    const watched = await strata(['watch', 'globex', MOVE_ID], environment);
    expect(watched.out.replaceAll('\n', '')).not.toMatch(ACTIVE);
    peer.on('PATCH /tenants/globex', { status: 409, body: { title: 'Conflict', detail: HOSTILE } });
    const refused = await strata(['suspend', 'globex'], environment);
    expect(refused.error.trimEnd()).not.toMatch(ACTIVE);
    expect(refused.error).toContain('\\u001b[2J');
  });

  test('suspend, resume and decline say what they have done', async () => {
    peer.on('PATCH /tenants/globex', { body: tenant('globex') });
    peer.on('POST /tenants/globex/offers/o-1/decline', { body: {} });
    expect(await lines('suspend', 'globex')).toEqual(['globex is suspended']);
    expect(await lines('resume', 'globex')).toEqual(['globex is active']);
    expect(await lines('decline', 'globex', 'o-1')).toEqual(['offer declined: globex keeps its tier']);
    expect(peer.requests.map(({ body }) => body)).toEqual([
      { status: 'suspended' },
      { status: 'active' },
      undefined,
    ]);
  });

  test('hold needs a reason, and release removes it', async () => {
    peer.on('PATCH /tenants/globex', { body: tenant('globex') });
    expect(await lines('hold', 'globex', '--reason', 'Doe v. Globex')).toEqual(['globex has a legal hold']);
    expect(await lines('release', 'globex')).toEqual(['globex has no legal hold']);
    const without = await strata(['hold', 'globex'], environment);
    expect(without).toMatchObject({ code: 2, error: expect.stringContaining('--reason TEXT') });
    expect(peer.requests.map(({ body }) => body)).toEqual([
      { legalHold: 'Doe v. Globex' },
      { legalHold: null },
    ]);
  });

  test('onboard sends what it is given, and with --watch waits for the end', async () => {
    const posted = tenant('mercy', { tier: 'enterprise', status: 'provisioning', reason: null });
    peer.on('POST /tenants', { status: 202, body: posted });
    expect(await lines('onboard', 'mercy', 'admin@mercy.test')).toEqual([
      'the onboarding of mercy (enterprise) has started',
      'see its state with: strata tenant mercy',
    ]);
    peer.on(
      'GET /tenants/mercy',
      { body: posted },
      { status: 503, body: {} },
      { body: { ...posted, status: 'failed', reason: 'No cell has room.' } },
    );
    const given = ['--name', 'Mercy Hospital', '--tier', 'enterprise', '--residency', 'eu'];
    const more = ['--compliance', 'hipaa, gdpr', '--billing-email', 'bill@mercy.test', '--watch'];
    const watched = await strata(['onboard', 'mercy', 'admin@mercy.test', ...given, ...more], environment);
    expect(watched).toMatchObject({ code: 1, error: '' });
    expect(watched.out.trimEnd().split('\n').at(-1)).toBe('mercy is failed: No cell has room.');
    expect(peer.requests.filter(({ method }) => method === 'POST').map(({ body }) => body)).toEqual([
      { slug: 'mercy', adminEmail: 'admin@mercy.test', name: 'mercy' },
      {
        slug: 'mercy',
        adminEmail: 'admin@mercy.test',
        name: 'Mercy Hospital',
        tier: 'enterprise',
        dataResidency: 'eu',
        complianceRequirements: ['hipaa', 'gdpr'],
        billingEmail: 'bill@mercy.test',
      },
    ]);
  });

  test('help names every command', async () => {
    const help = (await lines('help')).join('\n');
    for (const name of [
      'tenants',
      'moves',
      'move',
      'watch',
      'abort',
      'usage',
      'decisions',
      'offers',
      'accept',
      'tick',
      'onboard',
      'suspend',
      'resume',
      'users',
      'decline',
      'cells',
      'alerts',
      'executions',
    ])
      expect(help).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'));
    expect(await lines()).toEqual(await lines('--help'));
  });
});

describe('a failure is one line on stderr', () => {
  async function refused(args: string[], code: number, line: RegExp, change: Record<string, string> = {}) {
    const outcome = await strata(args, { ...environment, ...change });
    expect(outcome).toMatchObject({ code, out: '' });
    expect(outcome.error.trimEnd().split('\n')).toEqual([expect.stringMatching(line)]);
  }

  test.each([
    ['an unknown command', ['explode'], /^there is no command "explode": there are tenants, /],
    [
      'an unknown flag',
      ['move', 'globex', 'business', '--fast'],
      /^move does not take --fast; usage: strata move /,
    ],
    [
      'a flag of another command',
      ['tenants', '--watch'],
      /^tenants does not take --watch; usage: strata tenants \[--json\]$/,
    ],
    ['a flag with a value', ['move', 'globex', 'business', '--watch=1'], /^--watch has no value; usage: /],
    ['an option without its value', ['onboard', 'x', 'a@x.test', '--tier'], /^--tier needs a value; usage: /],
    // Of a shell variable that is not set: all tenants, and the usual size, are not what it means.
    ['an empty word', ['revive', ''], /^SLUG is empty; usage: strata revive \[SLUG\]$/],
    [
      'an empty value',
      ['move', 'globex', 'enterprise', '--size', ''],
      /^--size is empty; usage: strata move /,
    ],
    [
      'a key without a document',
      ['certificate', 'globex', '--key', 'k.pem'],
      /^--key goes with --verify FILE$/,
    ],
    ['a missing word', ['tenant'], /^SLUG is missing; usage: strata tenant SLUG \[--json\]$/],
    [
      'a word too many',
      ['tenants', 'globex'],
      /^tenants does not take "globex"; usage: strata tenants \[--json\]$/,
    ],
    [
      'an unknown tier',
      ['move', 'globex', 'platinum'],
      /^"platinum" is not a target: give starter, .*size:SIZE$/,
    ],
    ['an empty cell', ['move', 'globex', 'cell:'], /^"cell:" is not a target/],
    [
      'watching a dry run',
      ['move', 'globex', 'business', '--dry-run', '--watch'],
      /^a dry run starts no move/,
    ],
  ])('%s: exit code 2, and nothing is asked for', async (_what, args, line) => {
    await refused(args, 2, line);
    expect(peer.requests).toEqual([]);
  });

  test('a refusal of the API, with its reasons', async () => {
    await refused(['tenant', 'nobody'], 1, /^There is no such tenant\. \(HTTP 404\)$/);
    const errors = [
      { detail: 'It has 60 users and starter takes 50.' },
      { pointer: '/targetTier', detail: 'is full' },
    ];
    peer.on('POST /tenants/globex/moves', {
      status: 409,
      body: { title: 'Conflict', detail: 'The move is forbidden.', errors },
    });
    const line =
      /^The move is forbidden\. \(HTTP 409\); It has 60 users and starter takes 50\.; \/targetTier: is full$/;
    await refused(['move', 'globex', 'starter'], 1, line);
  });

  test('a token that is not accepted', async () => {
    peer.on('GET /tenants?limit=200', { status: 401, body: { message: 'Unauthorized' } });
    await refused(['tenants'], 1, /^the API does not accept this token: /);
  });

  test('no API, no key, no URL', async () => {
    const [port] = await unusedPorts();
    const url = { STRATA_API_URL: `http://127.0.0.1:${port}` };
    await refused(
      ['tenants'],
      1,
      new RegExp(`^nothing answers at http://127.0.0.1:${port} \\(ECONNREFUSED\\): `),
      url,
    );
    const noKey = { STRATA_TOKEN: '', STRATA_DIR: '/nonexistent' };
    await refused(['tenants'], 1, /^no platform has been started in \/nonexistent: run npm start, /, noKey);
    const remote = { STRATA_API_URL: 'https://api.example.com', STRATA_TOKEN: '' };
    await refused(['tenants'], 1, /^you are not signed in: run strata login/, remote);
    await refused(['tenants'], 2, /^STRATA_API_URL is "nowhere", expected a URL$/, {
      STRATA_API_URL: 'nowhere',
    });
  });

  test('no AWS endpoint', async () => {
    const [port] = await unusedPorts();
    const line = new RegExp(`^nothing answers at http://localhost:${port}: set AWS_ENDPOINT_URL$`);
    await refused(['tick', 'daily'], 1, line, { AWS_PORT: String(port) });
  });
});

test('without a token, it signs an operator’s with the key of the local platform', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'strata-cli-'));
  try {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    mkdirSync(join(stateDir, 'state'));
    writeFileSync(
      join(stateDir, 'state', 'identity.json'),
      JSON.stringify({
        privateKey: { ...(await exportJWK(privateKey)), kid: 'k' },
        issuer: 'i',
        clientId: 'c',
      }),
    );
    peer.on('GET /tenants?limit=200', { body: { items: [], nextCursor: null } });
    const outcome = await strata(['tenants'], { STRATA_API_URL: peer.url, STRATA_DIR: stateDir });
    expect(outcome).toMatchObject({ code: 0, error: '' });
    const claims = decodeJwt(peer.requests[0]!.authorization!.replace('Bearer ', ''));
    expect(claims).toMatchObject({ scope: 'strata/operator', iss: 'i', client_id: 'c' });
  } finally {
    rmSync(stateDir, { recursive: true, force: true });
  }
});
