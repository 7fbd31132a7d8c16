import { defineConfig } from 'vitest/config'
import { CountReporter } from './test/support/count-reporter.js'

const { SEED = String(Math.floor(Math.random() * 1_000_000_000)), FAULTS = '75' } = process.env

/** Faults at random: SEED=… draws the same ones again, FAULTS=… says how many (75 take three minutes, 240 ten). */
export default defineConfig({
  test: {
    env: { SEED, FAULTS },
    include: ['test/faults/random/*.faults.ts'],
    reporters: ['verbose', new CountReporter()],
    pool: 'forks',
    // One after the other: each has a server, an API and two sidecars of its own.
    fileParallelism: false,
    testTimeout: 3_600_000,
    disableConsoleIntercept: true,
  },
})
