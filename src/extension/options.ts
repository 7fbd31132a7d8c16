import type { PrismaClientLike } from '../config/models.js'
import { databaseUrl, type Given } from '../environment.js'
import type { Logger } from '../logger.js'
import type { SafetyKit } from './api.js'

/** What the extension needs beside the configuration. What is left out is read from the environment at the first operation. */
export interface ExtensionOptions {
  /**
   * The database that the client writes to, for the side tables. With rights on them, and to read the mapped tables.
   * Default: `DATABASE_URL`.
   */
  readonly databaseUrl?: string
  /** Default: `SAFETYKIT_API_KEY`. Only needed where the application delivers. */
  readonly apiKey?: string
  /** Where the API is. Default: `SAFETYKIT_BASE_URL`, else `https://api.safetykit.com`. */
  readonly baseUrl?: string
  /** What is told, and where to. `false`: nothing. Default: warnings and errors, to the console. */
  readonly logger?: Logger | false
  /**
   * How long `$disconnect()` waits for what is in flight; what is not settled by then comes again at the next start.
   * Default: 10,000.
   */
  readonly stopTimeoutMs?: number
}

/**
 * What `prisma.$extends` takes, as `Prisma.defineExtension` would give it: it adds `$safetykit` to the client and leaves all
 * its other types as they are.
 */
export type Extension<Known> = (client: PrismaClientLike) => {
  readonly $extends: {
    readonly extArgs: {
      readonly result: Record<never, never>
      readonly model: Record<never, never>
      readonly query: Record<never, never>
      readonly client: { readonly $safetykit: () => SafetyKit<Known> }
    }
  }
}

/** An option that the environment stands in for. */
export const given = (options: ExtensionOptions, name: 'databaseUrl' | 'apiKey' | 'baseUrl'): Given => ({
  value: options[name],
  name: `${name} of sync.extension()`,
  orGive: `, or give it to sync.extension({ ${name} })`,
})

/** @throws {SyncError} `SETTING_MISSING` or `CONFIG_INVALID`. */
export const urlOf = (options: ExtensionOptions): string => databaseUrl(given(options, 'databaseUrl'))
