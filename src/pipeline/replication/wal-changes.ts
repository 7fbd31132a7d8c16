import type { Cell, Relation, RowKey } from '../../capture/change.js'
import type { RowMessage } from '../../capture/replication/pgoutput-messages.js'
import type { StreamMessage, WalConsumer } from '../../capture/replication/wal-stream-options.js'
import { LowWatermark, type PendingTransaction } from '../../capture/replication/watermark.js'
import type { Arrival, Content, Ticket } from '../../delivery/ports.js'
import type { SyncError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { Lsn } from '../../lsn.js'
import { compileTable } from '../../mapping/mapper.js'
import type { MappingPlan } from '../../mapping/mapping-plan.js'
import { type ChangeCounts, noChanges } from '../change-counts.js'
import { renamedKeyColumn } from '../row-keys.js'
import type { Source, Sources, Target } from '../sources.js'

interface WalChangesOptions {
  readonly sources: Sources
  readonly arrive: (arrival: Arrival) => void
  /** The table's keys cannot be told from the WAL: all of it is to be scanned. */
  readonly markTable: (source: string, ticket: Ticket) => void
  /** Changes up to here may have been sent by an earlier process; see `Doubts`. */
  readonly replayedThrough: Lsn
  readonly changes?: ChangeCounts | undefined
  readonly logger: Logger
}

/** How the rows of one relation become arrivals. */
interface RelationPlan {
  readonly source: Source
  readonly columns: readonly number[]
  key(cells: readonly Cell[]): RowKey
  /** `null`: the relation does not have what is mapped (a generated column, a migration): the row is read by its key. */
  readonly mapped: readonly { readonly target: Target; readonly plan: MappingPlan }[] | null
}

/** From the messages of the stream to changes of objects, and from their settling to what may be acked. */
export class WalChanges implements WalConsumer {
  truncates = 0
  readonly #options: WalChangesOptions
  readonly #counts: ChangeCounts
  readonly #plans = new WeakMap<Relation, RelationPlan | null>()
  #watermark = new LowWatermark()
  #earlier: LowWatermark[] = []
  #settledBefore: Lsn = 0n
  /** One ticket serves all changes of a transaction. */
  #ticket: Ticket = { settle: () => {} }
  #ticketOf: PendingTransaction | null = null
  #replayed = false

  constructor(options: WalChangesOptions) {
    this.#options = options
    this.#counts = options.changes ?? noChanges()
  }

  /** Changes that are not settled yet. */
  get unsettled(): number {
    return this.#watermark.unsettled
  }

  /** Changes that earlier attempts brought and that are not settled yet. With a new slot they do not come again. */
  get unsettledBefore(): number {
    this.#earlier = this.#earlier.filter(({ unsettled }) => unsettled > 0)
    return this.#earlier.reduce((sum, { unsettled }) => sum + unsettled, 0)
  }

  /** All changes up to here are settled, whichever attempt brought them. */
  get settledThrough(): Lsn {
    const confirmed = this.#watermark.confirmed()
    return confirmed > this.#settledBefore ? confirmed : this.#settledBefore
  }

  onStart(): void {
    this.#settledBefore = this.settledThrough
    if (this.unsettledBefore + this.#watermark.unsettled > 0) this.#earlier.push(this.#watermark)
    this.#watermark = new LowWatermark()
  }

  onKeepalive(walEnd: Lsn): void {
    this.#watermark.idle(walEnd)
  }

  confirmed(): Lsn {
    return this.#watermark.confirmed()
  }

  select(relation: Relation): { readonly columns: readonly number[] } | null {
    const plan = this.#compile(relation)
    this.#plans.set(relation, plan)
    return plan
  }

  onMessage(message: StreamMessage, lsn: Lsn): void {
    switch (message.kind) {
      case 'insert':
      case 'update':
      case 'delete':
        this.#onRow(message, lsn)
        break
      case 'begin':
        this.#watermark.begin(message.commitLsn)
        break
      case 'commit':
        this.#watermark.commit(message.endLsn)
        break
      case 'truncate':
        for (const relation of message.relations) {
          const source = this.#options.sources.ofRelation(relation)
          if (source === undefined) continue
          this.truncates += 1
          this.#counts.truncate += 1
          const facts = { source: source.name, truncates: this.truncates }
          this.#options.logger.warn('A mapped table was truncated; SafetyKit keeps its objects', facts)
        }
        break
      case 'origin':
      case 'relation':
      case 'type':
      case 'message':
        break
    }
  }

  #onRow(message: RowMessage, lsn: Lsn): void {
    const relationPlan = this.#plans.get(message.relation)
    if (relationPlan == null) return
    // Not by its name: that takes four times as long, for each row.
    if (message.kind === 'insert') this.#counts.insert += 1
    else if (message.kind === 'update') this.#counts.update += 1
    else this.#counts.delete += 1
    // By the record, as what is sent is: the commit of a long transaction may lie far behind its rows.
    this.#replayed = lsn <= this.#options.replayedThrough
    if (relationPlan.mapped === null) this.#hint(message, relationPlan, lsn)
    else for (const { target, plan } of relationPlan.mapped) this.#change(message, { target, plan, relationPlan, lsn })
  }

  #change(
    message: RowMessage,
    { target, plan, relationPlan, lsn }: { target: Target; plan: MappingPlan; relationPlan: RelationPlan; lsn: Lsn },
  ): void {
    const { cells, oldCells } = message
    const oldId = oldCells === null ? undefined : plan.id(oldCells)
    if (cells === null) {
      if (oldCells !== null && oldId !== undefined) this.#gone(target, oldId, relationPlan.key(oldCells), lsn)
      return
    }
    const mapped = plan.map(cells)
    const id = mapped.id
    if (id === undefined) {
      // A large id that this update left alone is not in the WAL, and the key does not hold it: only a scan finds the row.
      if (mapped.kind === 'incomplete') this.#options.markTable(relationPlan.source.name, this.#take())
      else if (mapped.kind === 'invalid') this.#withoutId(relationPlan.source, mapped.error)
      return
    }
    // A changed key: what was known under the old id is no more.
    if (oldCells !== null && oldId !== undefined && oldId !== id) {
      this.#gone(target, oldId, relationPlan.key(oldCells), lsn)
    }
    const key = target.origin.keyOf === null ? relationPlan.key(cells) : null
    this.#arrive(target, id, key, contentOf(mapped, lsn))
  }

  #gone(target: Target, id: string, key: RowKey, lsn: Lsn): void {
    if (target.origin.tombstone !== null) this.#arrive(target, id, key, { kind: 'gone', lsn, by: 'wal' })
  }

  /** The row is read; all that is needed of the message is its key. */
  #hint(message: RowMessage, { source, key: keyOf }: RelationPlan, lsn: Lsn): void {
    for (const [cells, content] of [
      [message.oldCells, { kind: 'gone', lsn, by: 'wal' }],
      [message.cells, { kind: 'unread', lsn }],
    ] as const) {
      if (cells === null) continue
      const key = keyOf(cells)
      for (const target of source.targets) {
        const id = target.idOf(key)
        if (id === undefined) {
          // An old row has only its identity; a new one without its key is one that nobody can find.
          if (content.kind === 'unread') this.#options.markTable(source.name, this.#take())
        } else if (content.kind === 'unread') this.#arrive(target, id, key, content)
        else if (message.cells === null || target.idOf(keyOf(message.cells)) !== id) this.#gone(target, id, key, lsn)
      }
    }
  }

  #arrive(target: Target, id: string, key: RowKey | null, content: Content): void {
    const ticket = this.#take()
    this.#options.arrive({ origin: target.origin, id, key, content, ticket, force: false, replayed: this.#replayed })
  }

  /** A change that has to be settled before its transaction is acked. */
  #take(): Ticket {
    const watermark = this.#watermark
    const transaction = watermark.add()
    if (this.#ticketOf !== transaction) {
      this.#ticketOf = transaction
      this.#ticket = { settle: () => watermark.settle(transaction) }
    }
    return this.#ticket
  }

  #withoutId(source: Source, error: SyncError): void {
    this.#options.logger.error('A row without an id cannot be sent', { source: source.name, error })
  }

  #compile(relation: Relation): RelationPlan | null {
    const { sources, logger } = this.#options
    const source = sources.ofRelation(relation)
    if (source === undefined) return null
    const { bound } = source
    const plan = compileTable(bound, relation.columns, sources.types)
    const sameName = relation.schema === bound.table.schema && relation.name === bound.table.name
    if (!sameName || source.misfit !== null) this.#lookAgain(source)
    if (plan.fits) {
      const mapped = plan.mappings.flatMap((mapping) => {
        const target = source.targets.find((candidate) => candidate.mapping === mapping.mapping)
        return target === undefined ? [] : [{ target, plan: mapping }]
      })
      return { source, columns: plan.columns, key: plan.key, mapped }
    }
    const { missing, unknownTypes } = plan
    const generated = bound.table.columns.filter((column) => column.generated !== 'no').map((column) => column.name)
    if (missing.every((name) => generated.includes(name))) {
      logger.debug('Rows of this table are read, since the WAL does not hold all that is mapped', {
        source: source.name,
      })
    } else {
      const facts = { source: source.name, missing, unknownTypes }
      logger.warn('The table was not as the mapping has it when this was written; its rows are read instead', facts)
      this.#lookAgain(source)
    }
    return keysOnly(source, relation)
  }

  /** A migration may have been here: whether the mapping fits what it left is told now, not with the next read. */
  #lookAgain(source: Source): void {
    this.#options.sources.refresh().catch((error: unknown) => {
      this.#options.logger.warn('The catalogue could not be read, trying again', { source: source.name, error })
    })
  }
}

/** For a relation that the mapping does not fit: as much of the key as it has. */
function keysOnly(source: Source, relation: Relation): RelationPlan {
  const { bound } = source
  const identity = relation.replicaIdentity === 'full' ? [] : relation.columns.filter((column) => column.isKey)
  const names = identity.map((column) => column.name)
  const renamed = renamedKeyColumn(bound, names)
  const order: string[] = []
  const columns = relation.columns.flatMap(({ name }, index) => {
    const boundName = name === renamed?.from ? renamed.to : name
    if (!bound.keyColumns.includes(boundName)) return []
    order.push(boundName)
    return [index]
  })
  const key = (cells: readonly Cell[]): RowKey =>
    Object.fromEntries(order.flatMap((name, at) => (typeof cells[at] === 'string' ? [[name, cells[at]]] : [])))
  return { source, columns, key, mapped: null }
}

function contentOf(mapped: ReturnType<MappingPlan['map']>, lsn: Lsn): Content {
  switch (mapped.kind) {
    case 'object':
      return { kind: 'object', json: mapped.json, fingerprint: mapped.fingerprint, lsn, by: 'wal' }
    case 'excluded':
      return { kind: 'gone', lsn, by: 'wal' }
    case 'incomplete':
      return { kind: 'unread', lsn }
    case 'invalid':
      return { kind: 'invalid', error: mapped.error }
  }
}
