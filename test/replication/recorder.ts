import type { Cell, Relation } from '../../src/capture/change.js'
import type { ColumnSelection } from '../../src/capture/replication/pgoutput.js'
import type { RowMessage } from '../../src/capture/replication/pgoutput-messages.js'
import type { StreamMessage, WalConsumer } from '../../src/capture/replication/wal-stream-options.js'
import { LowWatermark, type PendingTransaction } from '../../src/capture/replication/watermark.js'
import type { Lsn } from '../../src/lsn.js'

export interface RecordedRow {
  readonly message: RowMessage
  readonly transaction: PendingTransaction
}

export interface RecorderOptions {
  /** Whether a row is settled as soon as it arrives. Default: yes. */
  readonly settle?: (row: RowMessage) => boolean
  /** Only these tables. Default: all. */
  readonly tables?: readonly string[]
}

/** A consumer that keeps everything in memory, and settles at once unless it is told otherwise. */
export class Recorder implements WalConsumer {
  readonly messages: { readonly message: StreamMessage; readonly lsn: Lsn }[] = []
  readonly rows: RecordedRow[] = []
  /** First cell of the new rows (of the old one for a delete), once each. */
  readonly ids = new Set<Cell>()
  starts = 0
  keepalives = 0
  watermark = new LowWatermark()
  readonly #settle: (row: RowMessage) => boolean
  readonly #tables: readonly string[] | null

  constructor(options: RecorderOptions = {}) {
    this.#settle = options.settle ?? (() => true)
    this.#tables = options.tables ?? null
  }

  readonly select = (relation: Relation): ColumnSelection | null =>
    this.#tables === null || this.#tables.includes(relation.name)
      ? { columns: relation.columns.map((_, index) => index) }
      : null

  onStart(): void {
    this.starts++
    this.watermark = new LowWatermark()
  }

  onMessage(message: StreamMessage, lsn: Lsn): void {
    this.messages.push({ message, lsn })
    if (message.kind === 'begin') this.watermark.begin(message.commitLsn)
    else if (message.kind === 'commit') this.watermark.commit(message.endLsn)
    else if (message.kind === 'insert' || message.kind === 'update' || message.kind === 'delete') {
      const transaction = this.watermark.add()
      this.rows.push({ message, transaction })
      this.ids.add((message.cells ?? message.oldCells)[0])
      if (this.#settle(message)) this.watermark.settle(transaction)
    }
  }

  onKeepalive(walEnd: Lsn): void {
    this.keepalives++
    this.watermark.idle(walEnd)
  }

  confirmed(): Lsn {
    return this.watermark.confirmed()
  }

  of<Kind extends StreamMessage['kind']>(kind: Kind): Extract<StreamMessage, { kind: Kind }>[] {
    return this.messages.flatMap(({ message }) =>
      message.kind === kind ? [message as Extract<StreamMessage, { kind: Kind }>] : [],
    )
  }
}
