#!/usr/bin/env node
import { CommanderError } from 'commander'
import { SyncError } from '../errors.js'
import { endProcess, outputFailed } from './end-process.js'
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

/** A module that waits at its top level for what never comes; Node itself would end without a word, and with 0. */
function neverLoaded(): SyncError {
  const ofInit = program.args[0] === 'init'
  const file = ofInit ? 'prisma.config.*' : 'safetykit.config.*'
  return new SyncError('CONFIG_INVALID', `The configuration (${file}) never finished loading`, {
    hint: `An "await" in it, or in a module that it imports, waits for what never comes.${ofInit ? " --schema does without it: give Prisma's schema." : ''}`,
  })
}

for (const stream of [process.stdout, process.stderr]) stream.on('error', (error) => outputFailed(error))
process.on('uncaughtException', (error) => endProcess(report(error)))
// Nothing is left that could happen, and no command ends like that: each is ended by `endProcess`.
process.once('beforeExit', () => endProcess(report(neverLoaded())))

program
  .parseAsync()
  .then(() => exitCodes.ok, report)
  .then(endProcess)
