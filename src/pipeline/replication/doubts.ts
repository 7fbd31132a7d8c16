import { setTimeout as sleep } from 'node:timers/promises'
import { escapeIdentifier } from 'pg'
import type { ResolvedSync } from '../../config/resolved.js'
import { Horizon } from '../../ledger/horizon.js'
import type { Ledger } from '../../ledger/ledger.js'
import type { Logger } from '../../logger.js'
import type { Lsn } from '../../lsn.js'
import type { Databases } from '../databases.js'
import { walPosition } from '../wal-position.js'

/** How far the horizons jump ahead: a small update of the ledger for each 16 MiB of WAL, or 10,000 dirty keys. */
const streamStep = 16n * 1024n * 1024n
const dirtyStep = 10_000n
const retryMs = 1_000

interface DoubtsOptions {
  readonly databases: Pick<Databases, 'source' | 'ledger'>
  readonly ledger: Ledger
  readonly resolved: Pick<ResolvedSync, 'schema' | 'slot'>
  readonly logger: Logger
}

/** What an earlier process may have sent without recording it (docs/decisions/crash-horizon.md), until it is settled. */
export class Doubts {
  readonly stream: Horizon
  readonly #dirty: Horizon
  /** Changes up to here are in doubt; 0 where none are. The mark runs ahead, but nothing was sent before it was written. */
  readonly changesThrough: Lsn
  /** Dirty keys up to this `seq` are in doubt; 0 where none are. */
  readonly #keysThrough: bigint
  readonly #ledger: Databases['ledger']
  readonly #dirtyTable: string
  readonly #logger: Logger

  private constructor(
    options: DoubtsOptions,
    { stream, dirty }: { readonly stream: Horizon; readonly dirty: Horizon },
    written: { readonly lsn: Lsn; readonly seq: bigint },
  ) {
    this.stream = stream
    this.#dirty = dirty
    this.changesThrough = stream.previous < written.lsn ? stream.previous : written.lsn
    this.#keysThrough = dirty.previous < written.seq ? dirty.previous : written.seq
    this.#ledger = options.databases.ledger
    this.#dirtyTable = dirtyTable(options)
    this.#logger = options.logger
  }

  static async open(options: DoubtsOptions): Promise<Doubts> {
    const { databases, ledger, resolved, logger } = options
    const stream = await Horizon.open({ name: `slot ${resolved.slot.name}`, store: ledger, step: streamStep, logger })
    const dirty = await Horizon.open({ name: 'dirty', store: ledger, step: dirtyStep, logger })
    const lsn = await walPosition(databases.source)
    const { rows } = await databases.ledger.query(
      `SELECT coalesce(max(seq), 0)::text AS seq FROM ${dirtyTable(options)}`,
    )
    return new Doubts(options, { stream, dirty }, { lsn, seq: BigInt(String(rows[0]?.seq ?? 0)) })
  }

  /** Resolves once the next process would doubt all keys that are in `dirty` now. Repeated until it works. */
  async coverWaiting(): Promise<void> {
    for (;;) {
      try {
        const { rows } = await this.#ledger.query(`SELECT coalesce(max(seq), 0)::text AS seq FROM ${this.#dirtyTable}`)
        return await (this.cover(BigInt(String(rows[0]?.seq ?? 0))) ?? undefined)
      } catch (error) {
        this.#logger.error('Dirty keys could not be read, trying again', { error })
        await sleep(retryMs, undefined, { ref: false })
      }
    }
  }

  /** To be awaited before dirty keys up to `seq` are worked. */
  cover(seq: bigint): Promise<void> | null {
    return this.#dirty.cover(seq)
  }

  isDoubted(key: { readonly seq: bigint }): boolean {
    return key.seq <= this.#keysThrough
  }

  /**
   * For a process that has recorded all that it sent: the next one starts without the doubts that are settled. Those that
   * this one has inherited stay as long as their changes have not all come again.
   * @param settledThrough all changes up to here are settled.
   */
  async clear(settledThrough: Lsn): Promise<void> {
    if (settledThrough >= this.changesThrough) await this.stream.clear()
    const { rows } = await this.#ledger.query(
      `SELECT EXISTS (SELECT FROM ${this.#dirtyTable} WHERE seq <= $1 AND key IS NOT NULL) AS waits`,
      [String(this.#keysThrough)],
    )
    if (rows[0]?.waits === false) await this.#dirty.clear()
  }
}

const dirtyTable = ({ resolved }: DoubtsOptions): string => `${escapeIdentifier(resolved.schema)}.dirty`
