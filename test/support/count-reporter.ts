import type { Reporter, TestModule } from 'vitest/node'

/**
 * Ends the output with `N passed, N failed`, whatever else is printed on the way out: CI reads the last line. A file that
 * failed without a failing test (it could not be loaded, a hook threw) and an error outside of all tests count as failed.
 */
export class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) {
      const failedBefore = counts.failed
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state !== 'pending') counts[state] += 1
      }
      if (module.state() === 'failed' && counts.failed === failedBefore) counts.failed += 1
    }
    const { passed, failed, skipped } = counts
    const line = `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}\n`
    process.once('exit', () => process.stdout.write(line))
  }
}
