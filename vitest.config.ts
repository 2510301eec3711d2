import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Tests wait for servers more than they compute: three at a time, also on a machine with two cores.
    maxWorkers: 3,
    // Where nobody watches, a test that failed beside others on a busy machine is tried once more; the report says so.
    retry: process.env.CI ? 1 : 0,
    projects: [
      {
        extends: true,
        test: {
          name: 'parts',
          include: ['test/**/*.test.ts'],
          exclude: ['test/platform/**'],
          globalSetup: ['test/database-server.ts'],
        },
      },
      {
        extends: true,
        // One running platform serves all of these files.
        test: {
          name: 'platform',
          include: ['test/platform/**/*.test.ts'],
          globalSetup: ['test/platform/platform-setup.ts'],
        },
      },
    ],
  },
});
