#!/usr/bin/env node
import { CommanderError } from 'commander'
import { endProcess } from './end-process.js'
import { type ExitCode, exitCodeOf, exitCodes } from './exit-codes.js'
import { createProgram } from './program.js'
import { asSyncError, formatError } from './show-error.js'
import { paintFor, print } from './terminal.js'

const program = createProgram()

/** Prints an error once, and says which exit code follows from it. */
function report(error: unknown): ExitCode {
  // Help, the version and mistakes on the command line: commander has printed them.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  const shown = asSyncError(error)
  const verbose = program.opts<{ verbose?: true }>().verbose === true
  print(process.stderr, formatError(shown, { paint: paintFor(process.stderr), verbose }))
  return exitCodeOf(shown.code)
}

for (const stream of [process.stdout, process.stderr]) {
  // Whoever read the output has gone, as `head` does.
  stream.on('error', () => process.exit(exitCodes.failure))
}
process.on('uncaughtException', (error) => endProcess(report(error)))

program
  .parseAsync()
  .then(() => exitCodes.ok, report)
  .then(endProcess)
