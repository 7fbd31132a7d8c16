import { Command } from 'commander'
import { packageVersion } from '../package-version.js'
import { addBackfill } from './backfill.js'
import { addDoctor } from './doctor.js'
import { addEmulator } from './emulator.js'
import { exitCodesText } from './exit-codes.js'
import { addInit } from './init.js'
import { addMigrate } from './migrate.js'
import { addHelp } from './options.js'
import { addPrune } from './prune.js'
import { addRetry } from './retry.js'
import { addRun } from './run.js'
import { addStatus } from './status.js'
import { paintFor } from './terminal.js'
import { addVerify } from './verify.js'

/**
 * The command with all of its commands; nothing runs before it parses the arguments. What a command does is loaded when it
 * is run: `--help` and mistakes are answered at once, and `migrate` loads no API client.
 */
export function createProgram(): Command {
  const program = new Command('safetykit-sync')
    .description('Keeps the rows of a PostgreSQL database in step with SafetyKit.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .option('--verbose', 'show where an error comes from')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      outputError: (text, write) =>
        write(text.replace(/^error: /, `${paintFor(process.stderr)(['red', 'bold'], 'error USAGE:')} `)),
    })
    .showHelpAfterError('→ safetykit-sync --help shows the commands, and --help after a command its options.')
    .exitOverride()
  addInit(program)
  addMigrate(program)
  addRun(program)
  addBackfill(program)
  addVerify(program)
  addStatus(program)
  addDoctor(program)
  addRetry(program)
  addPrune(program)
  addEmulator(program)
  return addHelp(
    program,
    `${exitCodesText}

First steps:
  safetykit-sync init       once: writes a safetykit.config.ts
  safetykit-sync migrate    once, and after the mapping has changed
  safetykit-sync run        the sidecar: one a database
  safetykit-sync backfill   once, for the rows that were there before; beside run, before it or after it`,
  )
}
