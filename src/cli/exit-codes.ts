import type { ErrorCode } from '../errors.js'

/** What a script can tell from the exit code. */
export const exitCodes = {
  ok: 0,
  /** Anything that has no code of its own, and a stop that was not waited for. */
  failure: 1,
  /** A mistake on the command line, in the configuration or in a setting: trying again changes nothing. */
  usage: 2,
  /** Postgres is out of reach, or is not (yet) as it has to be: often `safetykit-sync migrate` mends it. */
  database: 3,
  /** The API refused the key. */
  unauthorized: 4,
  /** A backfill or a prune that SIGINT or SIGTERM stopped, told apart from one that is done: 128 and the signal, as shells have it. */
  interrupted: 130,
  terminated: 143,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** For `--help`. */
export const exitCodesText = `Exit codes:
  0  done, or stopped as asked
  1  failed
  2  a mistake on the command line, in the configuration or in a setting
  3  the database cannot be reached, or is not as it has to be
  4  the API refused the key
  130, 143  a backfill or a prune was stopped by SIGINT, SIGTERM, and can be gone on with`

/** The exit code that follows from an error's code. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  switch (code) {
    case 'CONFIG_INVALID':
    case 'CONFIG_NOT_FOUND':
    case 'SETTING_MISSING':
    case 'ARGUMENT_INVALID':
      return exitCodes.usage
    case 'DATABASE_UNREACHABLE':
    case 'DATABASE_UNFIT':
    case 'SLOT_MISSING':
    case 'SLOT_IN_USE':
    case 'SLOT_LOST':
    case 'SLOT_REPLACED':
    case 'SLOT_FOREIGN':
    case 'PUBLICATION_UNFIT':
    case 'TRIGGERS_UNFIT':
    case 'TABLE_UNFIT':
    case 'MAPPING_UNFIT':
    case 'SCHEMA_OUTDATED':
    case 'SCHEMA_NEWER':
      return exitCodes.database
    case 'API_UNAUTHORIZED':
      return exitCodes.unauthorized
    default:
      return exitCodes.failure
  }
}
