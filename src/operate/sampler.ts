import pg from 'pg'
import type { ResolvedSync } from '../config/resolved.js'
import type { Logger } from '../logger.js'
import {
  readDue,
  readOpenRequests,
  readRefusedObjects,
  readSlot,
  readWaitingKeys,
  readWork,
  type SampleParts,
} from './sample.js'

type Parts = { readonly [Part in keyof SampleParts]: SampleParts[Part] | null }

/** What the databases said, and which of them answered. A part that could not be read is `null`. */
export interface Sample extends Parts {
  readonly sourceUp: boolean
  readonly ledgerUp: boolean
  readonly seconds: number
}

interface SamplerOptions {
  readonly resolved: ResolvedSync
  readonly databaseUrl: string
  readonly logger: Logger
}

/** Whoever asks more often is given what was read last. */
const maxAgeMs = 5_000
/** No statement of a sample may take longer; what it would have told is missing then. */
const statementTimeoutMs = 2_000
/** A connection, or an answer, that takes longer will not come. */
const answerTimeoutMs = 4_000
/** Whoever asks waits no longer than this for a sample; the next one is given it. */
const maxWaitMs = 6_000

/**
 * Reads what is measured in the databases: over one connection to each, one sample at a time, and not more often than every
 * five seconds, so that no scraper, however eager, is felt there.
 */
export class Sampler {
  readonly #options: SamplerOptions
  readonly #source: pg.Pool
  readonly #ledger: pg.Pool
  readonly #schema: string
  #latest: Sample | null = null
  #latestMs = Number.NEGATIVE_INFINITY
  #reading: Promise<Sample> | null = null
  /** As of the last contact; `null` before the first. */
  #ledgerUp: boolean | null = null

  constructor(options: SamplerOptions) {
    const { resolved, databaseUrl, logger } = options
    this.#options = options
    this.#schema = pg.escapeIdentifier(resolved.schema)
    this.#source = openPool(databaseUrl, logger)
    this.#ledger = resolved.ledgerUrl === null ? this.#source : openPool(resolved.ledgerUrl, logger)
  }

  /** Without its parts where the databases take too long for them. */
  async sample(): Promise<Sample> {
    if (this.#latest !== null && performance.now() - this.#latestMs < maxAgeMs) return this.#latest
    const isUp = this.#ledgerUp ?? false
    const late: Sample = { ...unread, slot: null, sourceUp: isUp, ledgerUp: isUp, seconds: maxWaitMs / 1_000 }
    return (await within(maxWaitMs, this.#read())) ?? late
  }

  /** Whether the ledger's database answers; `null` where that is not known yet. Never waits longer than `waitMs`. */
  async ledgerUp(waitMs: number): Promise<boolean | null> {
    if (performance.now() - this.#latestMs >= maxAgeMs) await within(waitMs, this.#read())
    return this.#ledgerUp
  }

  async close(): Promise<void> {
    await Promise.all([...new Set([this.#source, this.#ledger])].map((pool) => pool.end()))
  }

  #read(): Promise<Sample> {
    this.#reading ??= this.#readAll()
      .then((sample) => {
        this.#latest = sample
        this.#latestMs = performance.now()
        return sample
      })
      .finally(() => {
        this.#reading = null
      })
    return this.#reading
  }

  async #readAll(): Promise<Sample> {
    const startedMs = performance.now()
    const ledger = await this.#with(this.#ledger, (client) => this.#readLedger(client))
    this.#ledgerUp = ledger !== null
    const source = await this.#with(this.#source, async (client) => ({ slot: await this.#readSlot(client) }))
    return {
      ...(ledger ?? unread),
      slot: source?.slot ?? null,
      sourceUp: source !== null,
      ledgerUp: ledger !== null,
      seconds: (performance.now() - startedMs) / 1_000,
    }
  }

  async #readLedger(client: pg.ClientBase): Promise<Omit<Parts, 'slot'>> {
    this.#ledgerUp = true
    const schema = this.#schema
    return {
      dirty: await this.#part(client, () => readWaitingKeys(client, schema)),
      refused: await this.#part(client, () => readRefusedObjects(client, schema)),
      due: await this.#part(client, () => readDue(client, schema)),
      openRequests: await this.#part(client, () => readOpenRequests(client, schema)),
      work: await this.#part(client, () => readWork(client, schema)),
    }
  }

  async #readSlot(client: pg.ClientBase): Promise<Parts['slot']> {
    const { capture, slot } = this.#options.resolved
    if (capture !== 'replication') return null
    const read = (ledger: pg.ClientBase) => readSlot(client, slot.name, ledger, this.#schema)
    return this.#part(client, () => (this.#source === this.#ledger ? read(client) : this.#with(this.#ledger, read)))
  }

  /** `null` where the database did not answer to the end. */
  async #with<T>(pool: pg.Pool, work: (client: pg.ClientBase) => Promise<T>): Promise<T | null> {
    let client: pg.PoolClient | null = null
    try {
      client = await pool.connect()
      await client.query('SELECT')
      const value = await work(client)
      client.release()
      return value
    } catch (error) {
      this.#options.logger.debug('A database could not be asked for its measures', { error })
      // A connection on which an answer is still to come cannot be used again.
      client?.release(true)
      return null
    }
  }

  /** A transaction each: of a timeout for it alone, also behind PgBouncer, and one that fails takes no other with it. */
  async #part<T>(client: pg.ClientBase, read: () => Promise<T>): Promise<T | null> {
    await client.query(
      `BEGIN READ ONLY; SET LOCAL DateStyle = 'ISO'; SET LOCAL statement_timeout = ${statementTimeoutMs}`,
    )
    let value: T | null = null
    try {
      value = await read()
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error
      this.#options.logger.debug('A measure could not be read', { error })
    }
    await client.query('ROLLBACK')
    return value
  }
}

const unread: Omit<Parts, 'slot'> = { dirty: null, refused: null, due: null, openRequests: null, work: null }

function openPool(connectionString: string, logger: Logger): pg.Pool {
  const pool = new pg.Pool({
    connectionString,
    max: 1,
    connectionTimeoutMillis: answerTimeoutMs,
    query_timeout: answerTimeoutMs,
    idleTimeoutMillis: 120_000,
    allowExitOnIdle: true,
    keepAlive: true,
    application_name: 'safetykit-sync metrics',
  })
  pool.on('error', (error) => {
    Reflect.deleteProperty(error, 'client')
    logger.debug('An idle connection of the metrics broke; it is replaced', { error })
  })
  return pool
}

async function within<T>(ms: number, work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms).unref()
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
