import type { ExitCode } from './exit-codes.js'

let ending = false

/**
 * Ends the process once everything that was printed is out; the first code that is given counts. It does not wait for the
 * event loop to run empty: a configuration imports the application's own modules, and those can hold connections and
 * timers.
 */
export function endProcess(code: ExitCode): void {
  if (ending) return
  ending = true
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}
