import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** `npm run test:full`: every kill point, every mutant, regions, sizes. `npm test` shows every behaviour once. */
const full = Boolean(process.env.STRATA_TEST_FULL);
const rest = full ? [] : ['test/**/*.full.test.ts'];
/** The benchmarks' packages bring tests of their own. */
const foreign = '**/node_modules/**';

/** They read what CDK synthesizes, or run it. */
const synthesized = ['test/infra/*.test.ts', 'test/boot/*.test.ts', 'test/request/handler-bundle.test.ts'];
/** One running platform serves all of these files. */
const onPlatform = ['test/platform/*.test.ts'];
/** Each is a process of its own, since they change what a process remembers: trusted authorities, clients of AWS. */
const alone = [
  ...[
    'test/aws/*.test.ts',
    'test/onboarding/!(failure|onboarding-input|state-machine).test.ts',
    'test/regions/!(redirect).test.ts',
    'test/accounts/work-on-accounts.test.ts',
    'test/database/data-connection.test.ts',
    'test/cache/!(cache-pool).test.ts',
    'test/database/tls.test.ts',
  ],
  ...['left-database', 'target-dedicated', 'target-schema', 'proxy-auth-of-moves', 'recovered-crossing'].map(
    (name) => `test/move/${name}{,.full}.test.ts`,
  ),
];

const project = (
  name: string,
  {
    include,
    exclude = [],
    setupFiles = [],
    ...options
  }: TestProjectInlineConfiguration['test'] & { include: string[]; setupFiles?: string[] },
) => ({
  extends: true as const,
  test: {
    name,
    include,
    exclude: [...exclude, ...rest, foreign],
    setupFiles: ['test/quiet-logs.ts', ...setupFiles],
    ...options,
  },
});

/** In this order: the shared platform and the assemblies become ready beside the first files, and short ones come last. */
const order = ['alone', 'platform', 'synthesized', 'parts'];
/** Parts of names of files that take long although they are short, or longer the later they run. */
const long = [
  'platform/backups.test',
  ...['hostile-credential', 'mutation/guards', 'relocate-killed', 'relocate-repeats', 'relocate-faults'],
  ...['backup/workers', 'reconcile-registry', 'restore/faults', 'restore/killed', 'metering/aggregation'],
  ...['local/scheduler', 'postgres-clusters', 'postgres-recovery', 'point-in-time', 'alerts/conditions'],
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isShort = ({ moduleId }: TestSpecification) => !long.some((name) => moduleId.includes(name));
    const rankOf = (file: TestSpecification) => order.indexOf(file.project.name) * 2 + Number(isShort(file));
    return (await super.sort(files)).sort((one, other) => rankOf(one) - rankOf(other));
  }
}

export default defineConfig({
  test: {
    // Several times what a test takes here: a busy machine is no failure.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // What a test polls for comes as soon as it can; a busy machine takes longer than the default of one second.
    expect: { poll: { timeout: 20_000 } },
    // Tests wait for servers more than they compute: four at a time, also on a machine with two cores.
    maxWorkers: 4,
    // Modules are loaded once a worker, not once a file: no test leaves anything changed behind.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    projects: [
      project('platform', {
        include: onPlatform,
        globalSetup: ['test/platform/platform-setup.ts'],
        setupFiles: ['test/platform/await-platform.ts'],
      }),
      project('synthesized', { include: synthesized, globalSetup: ['test/infra/assemblies-setup.ts'] }),
      project('parts', {
        include: ['test/**/*.test.ts'],
        exclude: [...synthesized, ...onPlatform, ...alone],
        globalSetup: ['test/database-server.ts'],
      }),
      project('alone', { include: alone, globalSetup: ['test/database-server.ts'], isolate: true }),
    ],
  },
});
