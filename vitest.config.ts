import { defineConfig } from 'vitest/config'
import { CountReporter } from './test/support/count-reporter.js'
import { LongestFirst } from './test/support/longest-first.js'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', new CountReporter()],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    // One more than the cores that CI has: much of a test is waiting, for answers, leases and processes.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
