import { writeSync } from 'node:fs'
import { type ExitCode, exitCodes } from './exit-codes.js'

let ending = false

/**
 * Ends the process once everything that was printed is out; the first code that is given counts. It does not wait for the
 * event loop to run empty: a configuration imports the application's own modules, and those can hold connections and
 * timers.
 */
export function endProcess(code: ExitCode): void {
  if (ending) return
  ending = true
  process.stdout.write('', (error) => {
    if (error) outputFailed(error, code)
    process.stderr.write('', () => process.exit(code))
  })
}

/**
 * Ends the process at once, where what it prints does not get out: a report that nobody has is not a success. Says so, but
 * where whoever read the output has gone, as `head` does.
 */
export function outputFailed(error: Error, code: ExitCode = exitCodes.failure): never {
  const reason = 'code' in error ? String(error.code) : error.name
  if (!['EPIPE', 'ERR_STREAM_DESTROYED'].includes(reason)) {
    try {
      writeSync(process.stderr.fd, `error: the output could not be written (${reason})\n`)
    } catch {
      // Where stderr is the one that fails, nothing is left to say it on.
    }
  }
  process.exit(code === exitCodes.ok ? exitCodes.failure : code)
}
