import type { Mutation } from './mutated-protocol.ts';
import type { relocationScenarios, scenarios } from './scenarios.ts';

export interface Mutant<Name extends string> extends Mutation {
  /** What the code does no more. */
  readonly name: string;
  readonly scenario: Name;
  /** What the scenario shows then, and not otherwise. */
  readonly harm: string;
}

const TENANCY = 'database/provisioning/tenancy-functions.ts';
const FENCE = 'database/transfer/fence.ts';
const CLAIM = 'database/transfer/claim.ts';

const TAKE_WRITERS_KEY = `    IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(pg_catalog.uuid_hash_extended(tenant, 0)) THEN
      PERFORM tenancy.await_write_lock(tenant);
    END IF;
`;
const LOST = 'ada: acknowledged was second, at home is first';

/** The guards of the protocol inside one database, each taken out. */
export const mutants: readonly Mutant<keyof typeof scenarios>[] = [
  {
    name: 'a write takes no advisory lock',
    file: TENANCY,
    edits: [{ found: TAKE_WRITERS_KEY, put: '' }],
    scenario: 'writeInFlightAtTheFlip',
    harm: LOST,
  },
  {
    name: 'a mover takes no advisory lock against writers',
    file: FENCE,
    edits: [
      {
        found: `SELECT pg_catalog.pg_advisory_xact_lock(tenancy.lock_key(\${literal(tenantId)}))`,
        put: `SELECT \${literal(tenantId)}`,
      },
    ],
    scenario: 'writeInFlightAtTheFlip',
    harm: LOST,
  },
  {
    name: 'a write reads the placement before it has the lock',
    file: TENANCY,
    edits: [
      { found: TAKE_WRITERS_KEY, put: '' },
      {
        found: '  IF epoch IS NULL OR place.epoch OPERATOR(pg_catalog.<>) epoch THEN\n',
        put: `  IF access OPERATOR(pg_catalog.=) 'write' THEN
${TAKE_WRITERS_KEY}  END IF;
  IF epoch IS NULL OR place.epoch OPERATOR(pg_catalog.<>) epoch THEN
`,
      },
    ],
    scenario: 'writeThatWaitsWhileCaptureBegins',
    harm: LOST,
  },
  {
    name: 'enter does not check the epoch',
    file: TENANCY,
    edits: [
      {
        found: 'IF epoch IS NULL OR place.epoch OPERATOR(pg_catalog.<>) epoch THEN',
        put: 'IF epoch IS NULL THEN',
      },
    ],
    scenario: 'clientFromAnEarlierStay',
    harm: 'two homes take writes: the cell and the database where it is about to arrive',
  },
  {
    name: 'an attempt works without the movers’ key',
    file: CLAIM,
    edits: [{ found: "  await lockAttempts(owner, tenantId, 'shared');\n", put: '' }],
    scenario: 'stepFrozenSinceBeforeTheRollBack',
    harm: 'ada: acknowledged was null, at home is first',
  },
  {
    name: 'a claim is taken away without the movers’ key',
    file: CLAIM,
    edits: [{ found: "    await lockAttempts(owner, tenantId, 'exclusive');\n", put: '' }],
    scenario: 'stepFrozenSinceBeforeTheRollBack',
    harm: 'ada: acknowledged was null, at home is first',
  },
  {
    name: 'a claim holds under any epoch',
    file: CLAIM,
    edits: [
      {
        found: 'mover = $2 and epoch = $3$',
        put: 'mover = $2 and $3::bigint is not null$',
      },
    ],
    scenario: 'stepDeliveredAfterTheFlip',
    harm: LOST,
  },
  {
    name: 'a snapshot believes the claim that it shows',
    file: CLAIM,
    edits: [{ found: "isolation === 'repeatable read' ? ' for share' : ''", put: "''" }],
    scenario: 'snapshotThatWaitedForTheClaimsEnd',
    harm: 'an attempt has committed a transaction after its claim was taken',
  },
  {
    name: 'steps do not wait for their turn',
    file: 'database/transfer/reshape/attempt-session.ts',
    edits: [{ found: 'if (rows[0]?.taken) return true;', put: 'if (rows[0]) return true;' }],
    scenario: 'copyFrozenSinceBeforeTheRounds',
    harm: LOST,
  },
  {
    name: 'capture is switched on beside writers',
    file: 'database/transfer/reshape/capture.ts',
    edits: [
      {
        found: '    withoutWriters(owner, tenantId, async () => {\n',
        put: '    Promise.resolve([withoutWriters, owner, tenantId]).then(async () => {\n',
      },
    ],
    scenario: 'writeInFlightWhenCaptureBegins',
    harm: LOST,
  },
  {
    name: 'a reshape compares counts only',
    file: 'database/transfer/compare-content.ts',
    edits: [
      {
        found: 'return rows === targetRows && sourceHash === targetHash;',
        put: 'return rows === targetRows || sourceHash === targetHash;',
      },
    ],
    scenario: 'rowThatDiffersAfterTheCopy',
    harm: 'ada: acknowledged was first, at home is tampered',
  },
  {
    name: 'a relocation compares counts only',
    file: 'moves/relocate/compare-relocate.ts',
    edits: [{ found: ' || found.source.hash !== found.target.hash', put: '' }],
    scenario: 'rowThatDiffersAfterTheFlip',
    harm: 'ada: acknowledged was first, at home is tampered',
  },
  ...secondLines(),
];

/** Each stands behind another guard, so that no write is lost where it fails; what it promises is shown all the same. */
function secondLines(): Mutant<'moverOutOfTurn'>[] {
  const flips = `\`tenant_id = $1 and epoch = $2 and mover = $3 and state = 'fenced'`;
  const raises = `where tenant_id = $1 and epoch = $2 and mover = $3
           and (state = 'active' or (state = 'fenced' and fence_expires_at < pg_catalog.clock_timestamp()))`;
  const conditions: readonly (readonly [string, string, string])[] = [
    [
      ' and fence_expires_at > pg_catalog.clock_timestamp()`',
      '`',
      'a flip counts after its fence has run out',
    ],
    [flips, flips.replace('mover = $3', '$3::uuid is not null'), 'a flip counts without the claim'],
    [raises, raises.replace('mover = $3', '$3::uuid is not null'), 'writers are paused without the claim'],
    [raises, raises.replace(/and \(state.*/, ''), 'a standing fence is replaced'],
    [
      "and state = 'fenced' and fence_token = $2`",
      "and state = 'fenced' and $2::uuid is not null`",
      'a fence is lowered by who raised another one',
    ],
  ];
  return conditions.map(([found, put, harm]) => ({
    name: 'a condition is left out',
    file: FENCE,
    edits: [{ found, put }],
    scenario: 'moverOutOfTurn',
    harm,
  }));
}

const BOB_LOST = 'bob: acknowledged was second, at home is first';

/** Those that a relocation needs besides. */
export const relocationMutants: readonly Mutant<keyof typeof relocationScenarios>[] = [
  {
    name: 'the marker is not waited for',
    file: 'moves/relocate/cut-over-relocate.ts',
    edits: [
      {
        found: 'if (!(await awaitMarker(target, to.schemaName, fence.token, until))) throw',
        put: 'if (!until) throw',
      },
    ],
    scenario: 'writeThatHasNotArrived',
    harm: LOST,
  },
  {
    name: 'a fence refuses no writer',
    file: TENANCY,
    edits: [
      {
        found: `IF access OPERATOR(pg_catalog.=) 'write' THEN
      PERFORM tenancy.raise_fenced(place.fence_token, place.fence_expires_at);`,
        put: `IF access OPERATOR(pg_catalog.=) 'write' THEN
      NULL;`,
      },
    ],
    scenario: 'writeBehindTheFence',
    harm: BOB_LOST,
  },
  {
    name: 'a fence is raised beside the writers in flight',
    file: FENCE,
    edits: [
      {
        found: 'await withoutWriters(owner, tenantId, raise, { ...options, pipelined: true });',
        put: 'await raise();',
      },
      // The flip waits for the write, which gives the test more time to end it.
      { found: 'const LOCK_TIMEOUT_MS = 100;', put: 'const LOCK_TIMEOUT_MS = 1_000;' },
    ],
    scenario: 'writeInFlightAtTheFence',
    harm: LOST,
  },
  {
    name: 'all fences of an attempt have one token',
    file: FENCE,
    edits: [{ found: 'const token = randomUUID();', put: 'const token = attemptId;' }],
    scenario: 'moverThatWakesUp',
    harm: LOST,
  },
  {
    name: 'a flip counts under any token',
    file: FENCE,
    edits: [
      {
        found: `state = 'fenced' and fence_token = $4
       and fence_expires_at`,
        put: `state = 'fenced' and $4::uuid is not null
       and fence_expires_at`,
      },
    ],
    scenario: 'moverThatWakesUp',
    harm: LOST,
  },
];
