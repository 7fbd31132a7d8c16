import { existsSync } from 'node:fs'
import path from 'node:path'
import * as environment from '../environment.js'
import { SyncError } from '../errors.js'

/** What the flags of a command say about settings. */
export interface SettingFlags {
  readonly databaseUrl?: string
  readonly baseUrl?: string
}

/**
 * Reads the `.env` file of the working directory, as Prisma's users expect it. A variable that is set already wins.
 * @throws {SyncError} `CONFIG_INVALID` where it is there and cannot be read.
 */
export function loadEnvFile(): void {
  const file = path.resolve('.env')
  if (!existsSync(file)) return
  try {
    process.loadEnvFile(file)
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    throw new SyncError('CONFIG_INVALID', `The file ${file} cannot be read${reason}`, {
      cause: error,
      hint: 'Make it readable for this user, or move it away: the variables can be set in the environment as well.',
    })
  }
}

/** The URL of the database whose tables are mapped. */
export const databaseUrl = (flags: SettingFlags): string =>
  environment.databaseUrl({ value: flags.databaseUrl, name: '--database-url' })

/** Where the API is; `undefined` is SafetyKit's own. */
export const baseUrl = (flags: SettingFlags): string | undefined =>
  environment.baseUrl({ value: flags.baseUrl, name: '--base-url' })

/** There is no flag for it: other users of the machine can read a process' arguments. */
export const apiKey = (): string => environment.apiKey()
