import type { ClientBase } from 'pg'
import { unpublishedTables } from '../capture/replication/publication.js'
import { untriggeredTables } from '../capture/triggers/check.js'
import type { ResolvedSync } from '../config/resolved.js'
import type { Logger } from '../logger.js'
import type { Databases } from './databases.js'
import { wantedPublication, withClient } from './migrate.js'
import type { Sources } from './sources.js'
import { wantedCapture } from './triggers.js'

/** Between two looks. */
const everyMs = 10_000

interface CaptureWatchOptions {
  readonly databases: Pick<Databases, 'source'>
  readonly resolved: ResolvedSync
  readonly sources: Sources
  readonly logger: Logger
}

/**
 * Looks again and again whether changes of all mapped tables are captured. A table that was dropped and made anew has no
 * triggers and is in no publication, and neither the stream nor `dirty` tells of what it does not bring.
 */
export class CaptureWatch {
  readonly #options: CaptureWatchOptions
  readonly #timer: NodeJS.Timeout | undefined
  #uncaptured: readonly string[] = []
  #isLooking = false
  #isStopped = false

  constructor(options: CaptureWatchOptions) {
    this.#options = options
    // Of what a client captures itself, the database has nothing.
    if (options.resolved.capture !== 'client') this.#timer = setInterval(() => void this.#look(), everyMs).unref()
  }

  /** Tables, `schema.table`, whose inserts or updates go by unseen; as of the last look. */
  get uncaptured(): readonly string[] {
    return this.#uncaptured
  }

  /** Does not wait for a look that is under way: whoever closes the databases waits for its query, or cuts it off. */
  stop(): void {
    clearInterval(this.#timer)
    this.#isStopped = true
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const { sources, logger } = this.#options
    try {
      let uncaptured = await this.#uncapturedTables()
      if (uncaptured.length > 0 && !this.#isStopped) {
        // It may only have been renamed, or be the mapping that does not fit, which is told for itself.
        await sources.refresh()
        uncaptured = await this.#uncapturedTables()
      }
      if (!this.#isStopped) this.#tell(uncaptured)
    } catch (error) {
      // The databases may be closed by now.
      if (this.#isStopped) return
      logger.debug('Whether all changes are captured could not be looked at, trying again', { error })
    } finally {
      this.#isLooking = false
    }
  }

  async #uncapturedTables(): Promise<readonly string[]> {
    const { databases, sources } = this.#options
    const fitting = sources.all.filter(({ misfit }) => misfit === null)
    const tables = fitting.map(({ bound }) => bound)
    const missing = await withClient(databases.source, (client) => this.#missing(client, tables))
    return fitting.flatMap(({ name, bound }) => (missing.includes(bound.source) ? [name] : []))
  }

  async #missing(client: ClientBase, tables: Parameters<typeof wantedPublication>[1]): Promise<readonly string[]> {
    const { resolved } = this.#options
    if (resolved.capture === 'trigger') return untriggeredTables(client, wantedCapture(resolved.schema, tables))
    const missing = await unpublishedTables(client, wantedPublication(resolved, tables))
    return missing.map(({ schema, name }) => `${schema}.${name}`)
  }

  #tell(uncaptured: readonly string[]): void {
    const before = this.#uncaptured
    this.#uncaptured = uncaptured
    if (uncaptured.join() === before.join()) return
    const { logger, resolved } = this.#options
    if (uncaptured.length === 0) {
      logger.info('Changes of all mapped tables are captured again')
      return
    }
    const what = resolved.capture === 'replication' ? 'They are not in the publication' : 'They have not their triggers'
    const hint = `${what}. Run: safetykit-sync migrate, which marks them as well, so that a scan finds what was missed.`
    logger.error('Changes of mapped tables are not captured', { tables: uncaptured, hint })
  }
}
