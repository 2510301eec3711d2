/**
 * The assemblies that the tests of templates read, synthesized once a run: `node assemblies.ts DIRECTORY`. Each is in a
 * directory of its variant's name, and complete when `<name>.done` is there; `failed` says why none will come. The code
 * of the functions of all is in `bundle`, before the first of them.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { synthesize } from '../../infra/app.ts';
import { config, knownRegions, type StrataConfig } from '../../infra/config.ts';
import { bundleFunctions } from '../../infra/constructs/function-bundle.ts';
import { loadConfig } from '../../infra/load-config.ts';
import { validateConfig } from '../../infra/validate-config.ts';

const { us, eu } = knownRegions;

export const VARIANTS = {
  default: config,
  threeRegions: { ...config, regions: Object.values(knownRegions) },
  /** The largest that is promised to fit into its stacks. */
  threeRegionsOfThreeCells: loadConfig({
    STRATA_REGIONS: 'us,eu,apac',
    STRATA_CELLS: 'us=3,eu=3,apac=3',
    STRATA_CACHE: 'on',
  }),
  twoRegions: {
    ...config,
    regions: [us, eu],
    moves: { ...config.moves, graceMinutes: 3, keepDedicated: 30, maxPauseMs: 80, dutyCycle: 0.25 },
  },
  twoCells: { ...config, regions: [{ ...us, cells: [...us.cells, { ...us.cells[0]!, id: 'us-2' }] }] },
  domain: {
    ...config,
    domainName: 'app.example.com',
    hostedZoneId: 'Z0123456789',
    alarmEmail: 'oncall@example.com',
    signIn: {
      domainPrefix: 'example',
      emailFrom: 'people@example.com',
      identityProviders: [
        {
          kind: 'oidc',
          name: 'Acme',
          tenant: 'acme',
          region: 'us',
          issuer: 'https://sso.acme.example',
          clientId: 'strata',
          clientSecretName: 'sso/acme',
        },
        {
          kind: 'saml',
          name: 'Globex',
          tenant: 'globex',
          region: 'us',
          metadataUrl: 'https://globex.example/saml',
        },
      ],
    },
  },
  /** As `npm start` has it, with a second cell, for platforms that tests start. */
  local: loadConfig({
    DB_PIPELINE: 'on',
    REPLICATION_TLS: 'sslmode=verify-full sslrootcert=ca.crt',
    // Everything happens at once on the machine of the tests, so a move has no need to wait for a quiet moment.
    STRATA_CELLS: 'us=2',
    MOVE_MAX_PAUSE_MS: '250',
  }),
  guardedBackups: {
    ...config,
    events: { archiveDays: 30 },
    backups: {
      ...config.backups,
      objectLock: 'compliance',
      secondRegions: { us: 'us-west-2' },
      copyBusiness: true,
      awsBackup: {
        schedule: 'cron(0 3 * * ? *)',
        retentionDays: 35,
        copyToRegion: { us: 'us-west-2' },
        vaultLock: 'governance',
      },
    },
  },
} satisfies Record<string, StrataConfig>;

export type Variant = keyof typeof VARIANTS;

if (import.meta.main) {
  const [directory = ''] = process.argv.slice(2);
  try {
    const bundle = bundleFunctions(resolve(import.meta.dirname, '../..'), join(directory, 'bundle'));
    for (const [name, variant] of Object.entries<StrataConfig>(VARIANTS)) {
      const outdir = join(directory, name);
      await synthesize({ config: validateConfig(variant), outdir, validate: false, bundle });
      writeFileSync(`${outdir}.done`, '');
    }
  } catch (error) {
    writeFileSync(join(directory, 'failing'), String(error instanceof Error ? error.stack : error));
    renameSync(join(directory, 'failing'), join(directory, 'failed'));
  }
}
